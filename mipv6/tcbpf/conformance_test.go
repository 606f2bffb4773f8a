package tcbpf_test

import (
	"log/slog"
	"testing"

	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/mipv6/dataplane/conformance"
	"github.com/vanycast/vanycast/mipv6/tcbpf"
	"github.com/vanycast/vanycast/tests/lab"
)

func TestConformance(t *testing.T) { conformance.Run(t, conformance.Backend{New: newPlane}) }

// newPlane makes a plane on a host of the laboratory.
func newPlane(t *testing.T, h *lab.Host, iface string) dataplane.Plane {
	t.Helper()
	var p *tcbpf.Plane
	err := h.Do(func() (err error) {
		p, err = tcbpf.New(tcbpf.Config{Interface: iface, Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})).With("host", h.Name())})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

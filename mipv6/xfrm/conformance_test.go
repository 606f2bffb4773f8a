package xfrm_test

import (
	"log/slog"
	"regexp"
	"testing"

	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/mipv6/dataplane/conformance"
	"github.com/vanycast/vanycast/mipv6/xfrm"
	"github.com/vanycast/vanycast/tests/lab"
)

func TestConformance(t *testing.T) {
	needKernel(t)
	conformance.Run(t, conformance.Backend{New: newPlane, Cuts: true, Guards: guards})
}

// guards are the filters that keep an address that was a contact address from
// leaving natively, as tc shows them.
var guards = regexp.MustCompile(`(?m)^filter protocol ipv6 pref 14[56] u32 .*\n((\t|  ).*\n|\n)*`)

// newPlane makes a plane on a host of the laboratory.
func newPlane(t *testing.T, h *lab.Host, iface string) dataplane.Plane {
	t.Helper()
	var p *xfrm.Plane
	err := h.Do(func() (err error) {
		p, err = xfrm.New(xfrm.Config{Interface: iface, Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})).With("host", h.Name())})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

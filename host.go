package vanycast

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"

	"github.com/vanycast/vanycast/api/wire"
)

// maxStatus bounds the daemon's answer that Describe reads, in bytes.
const maxStatus = 1 << 20

// Host is what the daemon says of the host that it and this process are on.
type Host struct {
	Name      string     // as its configuration has it
	Interface string     // whose packets the daemon rewrites
	CareOf    netip.Addr // the replica's own address, by which others hand clients to it
	Services  []string   // what Listen can be asked for
}

// Describe asks the daemon about the host. Of the options only WithSocket
// matters.
func Describe(ctx context.Context, opts ...Option) (Host, error) {
	o := options{socket: wire.SocketPath()}
	for _, opt := range opts {
		opt(&o)
	}
	status, err := getStatus(ctx, o.socket)
	if err != nil {
		return Host{}, fmt.Errorf("vanycast: describe the host at %s: %w", o.socket, err)
	}
	h := Host{Name: status.Name, Interface: status.Interface, CareOf: status.CareOf}
	for _, s := range status.Services {
		h.Services = append(h.Services, s.Name)
	}
	return h, nil
}

func getStatus(ctx context.Context, socket string) (*wire.Status, error) {
	t := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		},
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://vanycast"+wire.PathStatus, nil)
	if err != nil {
		return nil, err
	}
	resp, err := t.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body := json.NewDecoder(io.LimitReader(resp.Body, maxStatus))
	if resp.StatusCode != http.StatusOK {
		var e wire.Error
		if body.Decode(&e) == nil && e.Error != "" {
			return nil, fmt.Errorf("refused (%d): %s", resp.StatusCode, e.Error)
		}
		return nil, fmt.Errorf("refused: %s", resp.Status)
	}
	status := new(wire.Status)
	if err := body.Decode(status); err != nil {
		return nil, fmt.Errorf("answer: %w", err)
	}
	return status, nil
}

package tests

import (
	"context"
	"net"
	"net/netip"

	"github.com/vanycast/vanycast/tests/cluster"
	"github.com/vanycast/vanycast/tests/lab"
)

// dialFrom connects from a host's port to the echo service.
func (s *site) dialFrom(ctx context.Context, h *lab.Host, port uint16) (*net.TCPConn, error) {
	site, _ := lab.SiteOf(h.Name())
	d := net.Dialer{
		LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(site.Addr, port)),
		Timeout:   cluster.AnswerTime,
	}
	var c net.Conn
	// One address: the socket is made by this goroutine, on this thread.
	if err := h.Do(func() (err error) {
		c, err = d.DialContext(ctx, "tcp6", cluster.Echo().Contact.String())
		return err
	}); err != nil {
		return nil, err
	}
	return c.(*net.TCPConn), nil
}

package conformance

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/tests/lab"
)

// A contact address that is not on the host yet has its routes; of what comes to it
// nothing is answered, neither by a socket nor by their lack.
func testAbsent(t *testing.T, b Backend) {
	top := newTopology(t, ordinary(), lab.Wire())
	p := start(t, top, b)
	absent := contact
	absent.Absent = true
	held := dataplane.Route{Kind: dataplane.Held}
	must(t, p.agent.SetTunnel(tunnel), p.replica.SetContact(absent), p.replica.SetContact(absent), p.replica.SetRoute(flow, held))
	if s := p.replica.State(); len(s.Contacts) != 1 || s.Contacts[0] != absent || s.Routes[flow] != held {
		t.Errorf("declared: %+v", s)
	}
	closed := netip.AddrPortFrom(contactAddr, 9) // nobody listens
	dial := func(patience time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		return top.legacy.Do(func() error {
			c, err := new(net.Dialer).DialContext(ctx, "tcp6", closed.String())
			if err == nil {
				c.Close()
			}
			return err
		})
	}
	noPing(t, top.legacy, contactAddr)
	// The deadline is the context's or the dialer's, who comes first.
	var silent net.Error
	if err := dial(300 * time.Millisecond); !errors.As(err, &silent) || !silent.Timeout() {
		t.Errorf("dial while the address is absent: %v, want no answer", err)
	}
	must(t, p.replica.SetContact(contact))
	ping(t, top.legacy, contactAddr, 56)
	if err := dial(patience); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dial: %v, want a refusal", err)
	}
	noPing(t, top.client, contactAddr) // held all the time
	must(t, p.replica.RemoveRoute(flow))
	ping(t, top.client, contactAddr, 56)

	// One that is there stays there.
	must(t, p.replica.SetContact(absent))
	ping(t, top.legacy, contactAddr, 56)
	if s := p.replica.State(); len(s.Contacts) != 1 || s.Contacts[0] != contact {
		t.Errorf("declared: %+v", s.Contacts)
	}
}

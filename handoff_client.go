package vanycast

import (
	"cmp"
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"

	"github.com/vanycast/vanycast/api/wire"
)

// Moved says what became of one connection of a client.
type Moved struct {
	Conn *Conn
	Err  error // as of Conn.Handoff; nil: the target has it
}

// HandoffClient hands all connections of one client that this Listener has to
// another replica, at the same time: Conn.Handoff of each, with its State. Any of
// them can be handed off alone, but while others stay its packets come by way of
// this replica; moved together they are soon spared the detour.
//
// It returns when it is known what became of each. Some may be gone and others
// stay; these go on as if nothing had been. The list is empty if the client has no
// connection here.
func (l *Listener) HandoffClient(ctx context.Context, client, target netip.Addr) []Moved {
	var all []Moved
	for _, c := range l.s.of(client) {
		all = append(all, Moved{Conn: c})
	}
	var wg sync.WaitGroup
	for i := range all {
		wg.Go(func() { all[i].Err = all[i].Conn.Handoff(ctx, target) })
	}
	wg.Wait()
	return all
}

// HandoffClient is Listener.HandoffClient for the client that this connection is
// of, this one and its others.
func (c *Conn) HandoffClient(ctx context.Context, target netip.Addr) []Moved {
	return (&Listener{s: c.s}).HandoffClient(ctx, c.address(), target)
}

// address is the client's.
func (c *Conn) address() netip.Addr {
	if a, ok := c.remote.(*net.TCPAddr); ok {
		return a.AddrPort().Addr()
	}
	return netip.Addr{}
}

// of are the connections of a client, in the order of their coming.
func (s *session) of(client netip.Addr) []*Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*Conn
	for _, c := range s.conns {
		if c.address() == client {
			all = append(all, c)
		}
	}
	slices.SortFunc(all, func(a, b *Conn) int { return cmp.Compare(a.client, b.client) })
	return all
}

// ordered passes an operator's request on.
func (s *session) ordered(f *wire.Frame) {
	s.mu.Lock()
	c := s.conns[f.Client]
	s.mu.Unlock()
	if c != nil && s.request != nil {
		go s.request(c, f.Target)
	}
}

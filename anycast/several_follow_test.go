package anycast

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/relay"
)

// look follows a packet of each connection both ways.
func (w *crowd) look() {
	for _, c := range w.all() {
		in := w.incoming(c)
		out := w.outgoing(c)
		w.now(func() {
			tr := w.conns[c]
			if in == nil && out == nil || tr.frozen || tr.over() {
				tr.good = time.Now()
			}
			if stalled := time.Since(tr.good); stalled > w.patience {
				w.t.Errorf("%v: port %d at %v stalls: in: %v, out: %v\n%s", time.Now(), c.Client.Port(), tr.at, in, out, w.state())
				tr.good = time.Now().Add(time.Hour)
			}
		})
	}
}

func (w *crowd) state() (s string) {
	s = fmt.Sprintf("bound to %v, contact node %v\n", w.boundTo(), w.registered())
	for a, r := range w.replicas {
		for f, route := range r.plane.State().Routes {
			s += fmt.Sprintf("  %v %d: %v\n", a, f.ClientPort, route)
		}
		for _, i := range r.addr.Relayed() {
			s += fmt.Sprintf("  %v %d: owner %v anchor %v number %d\n", a, i.Client.Port(), i.Owner, i.Anchor, i.Sequence)
		}
	}
	return s
}

func (w *crowd) routeAt(at netip.Addr, c relay.Conn) dataplane.Route {
	routes := w.replicas[at].plane.State().Routes
	if r, ok := routes[c.Flow()]; ok {
		return r
	}
	return routes[c.Flow().ClientFlow()]
}

// entry is where the client's packets go.
func (w *crowd) entry() netip.Addr {
	if a := w.boundTo(); a.IsValid() {
		return a
	}
	return w.registered()
}

// incoming follows a packet of the client; nil: it gets to who has the connection.
// One that meets a listener instead is an error of the test: it would be reset.
func (w *crowd) incoming(c relay.Conn) error {
	at, from := w.entry(), netip.Addr{}
	path := fmt.Sprint(at)
	for range 6 {
		r := w.routeAt(at, c)
		if from.IsValid() && r.Peer != from && r.From != from {
			return fmt.Errorf("dropped: %s: %v", path, r)
		}
		switch r.Kind {
		case dataplane.RelayTo:
			at, from = r.Peer, at
			path += fmt.Sprint(", ", at)
			continue
		case dataplane.Held:
			return fmt.Errorf("held: %s", path)
		}
		var err error
		w.now(func() {
			switch tr := w.conns[c]; {
			case tr.at == at, tr.over():
			case time.Now().Before(tr.ends[at]), tr.moving:
				err = fmt.Errorf("swallowed: %s: %v", path, r)
			default:
				err = fmt.Errorf("reset: %s: %v", path, r)
				if tr.reset {
					return
				}
				tr.reset = true
				w.t.Errorf("%v: port %d at %v: %v\n%s", time.Now(), c.Client.Port(), tr.at, err, w.state())
			}
		})
		return err
	}
	return fmt.Errorf("loop: %s", path)
}

// outgoing follows a packet of the server; nil: the client takes it.
func (w *crowd) outgoing(c relay.Conn) error {
	var at netip.Addr
	w.now(func() { at = w.conns[c].at })
	path := fmt.Sprint(at)
	r := w.routeAt(at, c)
	kind, next := r.Kind, r.Peer
	for range 6 {
		switch {
		case kind == dataplane.Optimised && at == w.boundTo(), kind == dataplane.Tunnelled && at == w.registered():
			return nil
		case kind != dataplane.Relayed:
			return fmt.Errorf("refused: %s: %v", path, r)
		}
		from := at
		at = next
		path += fmt.Sprint(", ", at)
		if r = w.routeAt(at, c); r.Kind != dataplane.RelayTo || r.Peer != from && (r.From != from || r.Via == dataplane.Relayed) {
			return fmt.Errorf("dropped: %s: %v", path, r)
		}
		kind, next = r.Via, r.From
	}
	return fmt.Errorf("loop: %s", path)
}

package anycast

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/mipv6/rr"
)

// perform does what the core wants done, in order. The lock is held: nothing
// here waits.
func (n *Node) perform() {
	var failed map[opID]error // made when it is needed: it seldom is
	for {
		actions := n.core.take()
		if len(actions) == 0 {
			return
		}
		for _, a := range actions {
			n.act(a, &failed)
		}
	}
}

func (n *Node) act(a action, failed *map[opID]error) {
	switch a := a.(type) {
	case sendAction:
		if (*failed)[a.op] == nil {
			n.send(a)
		}
	case packetAction:
		if err := n.deps.MH.Send(a.packet); err != nil {
			n.cfg.Logger.Warn("refusal not sent", "to", a.packet.Dst, "err", err)
		}
	case routeAction:
		err := n.route(a)
		if err == nil {
			return
		}
		n.cfg.Logger.Error("route not set", "contact", a.pair.Home, "client", a.pair.Client, "route", a.kind.String(), "err", err)
		n.core.routeFailed(a.pair)
		if a.op != 0 {
			// What this operation wanted to send must not go out: the client
			// would send where nothing is ready for it.
			if *failed == nil {
				*failed = make(map[opID]error)
			}
			(*failed)[a.op] = err
			n.core.cancel(n.deps.Now(), a.op, err)
		}
	case askAction:
		n.ask(a)
	case passAction:
		n.pass(a)
	case useAction:
		n.tasks.Go(func() {
			used := n.inUse(a.pair) // asks others, who may be waiting for our lock
			n.event(func(now time.Time) { n.core.inUse(now, a.pair, used) })
		})
	case doneAction:
		ch := n.waiting[a.id]
		delete(n.waiting, a.id)
		if err := (*failed)[a.id]; err != nil && a.err == nil {
			a.err = err
		}
		if ch != nil {
			ch <- result{a.token, a.err}
		}
	case logAction:
		n.cfg.Logger.Log(context.Background(), a.level, a.msg, a.args...)
	}
}

// send builds the packet and sends it. What the host cannot send is lost, as on
// any link; the retransmission repairs it.
func (n *Node) send(a sendAction) {
	p := &mipv6.Packet{Src: a.src, Dst: a.dst, HomeAddress: a.home}
	var mac func([]byte) mipv6.Authenticator
	if a.key != nil {
		mac = func(data []byte) mipv6.Authenticator { return rr.Authenticate(*a.key, a.covered, a.dst, data) }
	}
	err := p.Carry(a.message, mac)
	if err == nil {
		err = n.deps.MH.Send(p)
	}
	if err != nil {
		n.cfg.Logger.Warn("mobility header not sent", "type", a.message.Type(), "to", a.dst, "err", err)
	}
}

func (n *Node) route(a routeAction) error {
	flow := dataplane.Flow{Home: a.pair.Home, Client: a.pair.Client}
	switch a.kind {
	case routeOptimised:
		if err := n.deps.Plane.SetRoute(flow, dataplane.Route{Kind: dataplane.Optimised}); err != nil {
			return err
		}
		n.relay.SetBound(a.pair.Home, a.pair.Client, true)
		n.relay.Guard(a.pair.Home, a.pair.Client, false)
		return nil
	case routeGuarded:
		n.relay.Guard(a.pair.Home, a.pair.Client, true)
		n.relay.SetBound(a.pair.Home, a.pair.Client, true)
		return n.deps.Plane.SetRoute(flow, dataplane.Route{Kind: dataplane.Held})
	case routeHeld:
		n.relay.Guard(a.pair.Home, a.pair.Client, false)
		return n.deps.Plane.SetRoute(flow, dataplane.Route{Kind: dataplane.Held})
	case routeSilent:
		if err := n.deps.Plane.SetRoute(flow, dataplane.Route{Kind: dataplane.Held}); err != nil {
			return err
		}
	}
	n.relay.Guard(a.pair.Home, a.pair.Client, false)
	n.relay.SetBound(a.pair.Home, a.pair.Client, false)
	if a.kind == routeSilent {
		return nil
	}
	return n.deps.Plane.RemoveRoute(flow)
}

// ask gets a home test made by another replica, in the background.
func (n *Node) ask(a askAction) {
	n.tasks.Go(func() {
		ctx, cancel := context.WithTimeoutCause(n.background, n.cfg.HandoffTimeout, ErrTimeout)
		defer cancel()
		node, token, err := netip.Addr{}, rr.HomeToken{}, fmt.Errorf("%w: this replica has no channel to others", ErrNoHomeTest)
		if n.deps.Relay != nil {
			node, token, err = askNodes(ctx, n.deps.Relay, a.pair, a.nodes)
		}
		n.event(func(now time.Time) { n.core.homeToken(now, a.pair, node, token, err) })
	})
}

// pass hands a Binding Refresh Request on until somebody says that the client is
// his.
func (n *Node) pass(a passAction) {
	r, ok := n.deps.Relay.(Refresher)
	if !ok {
		return
	}
	select {
	case n.passing <- struct{}{}:
	default:
		return // the client asks again (RFC 6275 §9.5.5)
	}
	n.tasks.Go(func() {
		defer func() { <-n.passing }()
		ctx, cancel := context.WithTimeout(n.background, n.cfg.HandoffTimeout)
		defer cancel()
		for _, node := range a.nodes {
			owned, err := r.Refresh(ctx, node, a.pair.Home, a.pair.Client)
			if owned || ctx.Err() != nil {
				return
			}
			if err != nil {
				n.cfg.Logger.Log(ctx, slog.LevelDebug, "refresh request not passed on", "node", node, "err", err)
			}
		}
	})
}

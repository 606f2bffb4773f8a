package anycast

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/vanycast/vanycast/peer"
	"github.com/vanycast/vanycast/relay"
)

// The binding of a client with several connections moves by itself: whose each
// connection is does not change. It does so when the replica that the client is
// bound to has none of them any more: what it relays would take a detour for
// nobody's sake, and end with this replica.

// Cede hands the binding of a client over to another replica, one that this one
// relays connections of the client to, or else to the one that has most of them when
// they hold still. On nil the client is bound there, its
// connections go on where they are, and this replica has nothing to do with it but
// for connections of its own, which the other relays. Errors: ErrNotBound,
// relay.ErrNotRelayed, ErrBusy, ErrNotCeded if the other does not take it: then all
// is as before.
func (a *Address) Cede(ctx context.Context, client, to netip.Addr) error {
	if err := a.cede(ctx, client, to); err != nil {
		return &OpError{"cede", a.home, client, err}
	}
	return nil
}

func (a *Address) cede(ctx context.Context, client, to netip.Addr) error {
	n := a.node
	n.mu.Lock()
	bound, _ := n.core.standing(n.deps.Now(), a.pair(client))
	n.mu.Unlock()
	if !bound || n.deps.Peers == nil {
		return ErrNotBound
	}
	if err := n.relay.Still(ctx, a.home, client); err != nil {
		return fmt.Errorf("%w: %w", ErrBusy, err)
	}
	if !n.relay.Owns(a.home, client, to) { // not any more: the last of them has moved on meanwhile
		to = n.relay.Owner(a.home, client)
	}
	all, err := n.relay.Cede(a.home, client, to)
	if err != nil {
		n.relay.Keep(a.home, client)
		return err
	}
	mark, err := a.Mark(client)
	if err != nil {
		n.relay.Keep(a.home, client)
		return err
	}
	req, err := marshalBinding(a.pair(client), mark, all)
	if err != nil {
		n.relay.Keep(a.home, client)
		return err
	}
	begun := n.deps.Now()
	switch answer, err := a.offerBinding(ctx, to, req); {
	case err == nil && answer == bindingTaken:
		a.ceded(client)
		return nil
	case err == nil && answer == bindingTouched:
		return a.disputed(client, mark, begun, fmt.Errorf("%w: %v says: %v", ErrNotCeded, to, answer), false)
	case err == nil:
		a.kept(client)
		return fmt.Errorf("%w: %v says: %v", ErrNotCeded, to, answer)
	case errors.Is(err, ErrUntouched):
		a.kept(client)
		return err
	default:
		return a.disputed(client, mark, begun, fmt.Errorf("%w: %w", ErrNotCeded, err), true)
	}
}

// offerBinding asks the other replica. An error that is ErrUntouched came before it
// did anything.
func (a *Address) offerBinding(ctx context.Context, to netip.Addr, req []byte) (bindingAnswer, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, a.node.cfg.HandoffTimeout+callGrace, ErrTimeout)
	defer cancel()
	b, err := a.node.deps.Peers.Call(ctx, to, peer.KindBinding, req)
	var remote *peer.RemoteError
	switch {
	case errors.Is(err, peer.ErrUnreachable), errors.As(err, &remote):
		return 0, fmt.Errorf("%w: %w (%w)", ErrNotCeded, err, ErrUntouched)
	case err != nil:
		return 0, err
	}
	return parseBindingAnswer(b)
}

// ceded: the client is bound to the other replica.
func (a *Address) ceded(client netip.Addr) {
	a.node.relay.Ceded(a.home, client)
	a.Finish(client)
}

// kept: it is bound to us as before, or nobody knows better.
func (a *Address) kept(client netip.Addr) {
	n := a.node
	n.relay.Keep(a.home, client)
	n.event(func(now time.Time) { n.core.list.Suspend(target(a.pair(client)), now) })
}

// disputed asks the client whom it is bound to, when the other's time is over if
// it cannot be asked (wait). Its connections are safe in any case: who gets their
// packets knows whose they are.
func (a *Address) disputed(client netip.Addr, mark Mark, begun time.Time, cause error, wait bool) error {
	n := a.node
	if wait {
		timer := time.NewTimer(begun.Add(n.cfg.HandoffTimeout + callGrace).Sub(n.deps.Now()))
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-n.background.Done():
			return ErrClosed
		}
	}
	err := a.Reclaim(n.background, client, mark)
	var overtaken *SequenceError
	if errors.As(err, &overtaken) {
		if wait {
			a.ceded(client)
			return nil
		}
		err = a.Bind(n.background, client) // the other has given up what it began
	}
	a.kept(client)
	if err != nil {
		n.cfg.Logger.Warn("not known whether a client is bound here", "contact", a.home, "client", client, "err", err)
	}
	return cause
}

// HandleBinding answers another replica's call of kind peer.KindBinding: it cedes
// the binding of a client to us. It fits peer.Handler.
func (n *Node) HandleBinding(ctx context.Context, from netip.Addr, req []byte) ([]byte, error) {
	p, mark, all, err := parseBinding(req)
	if err != nil {
		return nil, err
	}
	if err := n.relay.Adopt(p.Home, p.Client, from, all); err != nil {
		n.cfg.Logger.Info("binding not taken", "contact", p.Home, "client", p.Client, "from", from, "err", err)
		return []byte{byte(bindingRefused)}, nil
	}
	guard, err := n.take(ctx, p, from, mark, all)
	switch {
	case errors.Is(err, ErrUntouched):
		n.cfg.Logger.Info("binding not taken", "contact", p.Home, "client", p.Client, "from", from, "err", err)
		n.relay.Unadopt(p.Home, p.Client, all)
		return []byte{byte(bindingRefused)}, nil
	case err != nil:
		n.cfg.Logger.Warn("not known whether a binding was taken", "contact", p.Home, "client", p.Client, "from", from, "err", err)
		n.relay.TurnBack(p.Home, p.Client, all)
		return []byte{byte(bindingTouched)}, nil // its packets may come: what we know stays
	}
	n.tasks.Go(func() {
		err := n.relay.Adopted(n.background, p.Home, p.Client, from, all)
		after := time.Duration(0)
		if remote := new(peer.RemoteError); err != nil && !errors.As(err, &remote) { // else it has left: there is nothing more
			after = guardTaken
		}
		n.endGuard(p, guard, after)
	})
	return []byte{byte(bindingTaken)}, nil
}

// take binds the client to us. What its owners send waits only while the update is
// under way: the rest is done before. What has begun at the old anchor since it made the
// list meets silence here until we know of it: on nil the guard is to be ended then.
func (n *Node) take(ctx context.Context, p pair, from netip.Addr, mark Mark, all []relay.Entry) (guard time.Time, err error) {
	a := &Address{n, p.Home}
	timer := time.NewTimer(a.Ready(p.Client).Sub(n.deps.Now()))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return guard, fmt.Errorf("%w (%w)", context.Cause(ctx), ErrUntouched)
	}
	if err := a.Prepare(ctx, p.Client, mark); err != nil {
		return guard, fmt.Errorf("%w (%w)", err, ErrUntouched)
	}
	n.relay.Turn(ctx, p.Home, p.Client, from, all)
	if guard, err = n.guard(p, n.cfg.HandoffTimeout+guardTaken); err != nil {
		return guard, fmt.Errorf("%w (%w)", err, ErrUntouched)
	}
	switch err = a.Start(ctx, p.Client, from, mark); {
	case err == nil:
		n.relay.Turned(p.Home, p.Client)
	case errors.Is(err, ErrUntouched):
		n.endGuard(p, guard, 0)
	default:
		n.endGuard(p, guard, guardTouched)
	}
	return guard, err
}

// vacant: a client is bound here, and all its connections are elsewhere.
func (n *Node) vacant(contact, client, owner netip.Addr) {
	n.follow(pair{Home: contact, Client: client}, func(a *Address) {
		err := a.Cede(n.background, client, owner)
		if err != nil && n.background.Err() == nil && !errors.Is(err, relay.ErrNotRelayed) {
			n.cfg.Logger.Info("binding stays though all connections are elsewhere", "contact", contact, "client", client, "to", owner, "err", err)
		}
	})
}

// follow has the binding of a client follow its connections, in the background; one
// at a time for each client.
func (n *Node) follow(p pair, f func(*Address)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, busy := n.following[p]; busy || n.closed || len(n.following) >= maxFollowing {
		return
	}
	n.following[p] = struct{}{}
	n.tasks.Go(func() {
		f(&Address{n, p.Home})
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.following, p)
	})
}

// Closed says that a connection was closed here. What it has not sent yet still goes
// out, and has to be acknowledged: as long as that may take it counts as one of its
// client's connections, if there are others, here or relayed from here.
func (a *Address) Closed(local, remote netip.AddrPort, others bool) {
	a.node.relay.Closed(relay.Conn{Contact: local, Client: remote}, others)
}

// Vacated says that a client has no connection here any more. If this replica
// relays others of it, its binding goes to where they are, in the background.
func (a *Address) Vacated(client netip.Addr) {
	if owner := a.owner(client); owner.IsValid() {
		a.node.vacant(a.home, client, owner)
	}
}

// owner is who has most of the connections of a client that is bound here and
// relayed from here, invalid if nobody.
func (a *Address) owner(client netip.Addr) netip.Addr {
	n := a.node
	n.mu.Lock()
	bound, _ := n.core.standing(n.deps.Now(), a.pair(client))
	n.mu.Unlock()
	if !bound {
		return netip.Addr{}
	}
	return n.relay.Owner(a.home, client)
}

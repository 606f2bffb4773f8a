package anycast

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"
)

// FallBack takes a client off the short cut whose packets do not get through there:
// some networks drop Home Address options and type 2 routing headers (RFC 9098), while
// the Mobility Headers that bound the client passed. It is remembered, for a while,
// as one without Mobile IPv6, and served through the home agent: its connections
// here are relayed by the contact node, if that is another replica. Then its binding
// is removed. Where it is not acknowledged, for its packets are lost as well, ours go
// the new way all the same, and the client's when its binding ends.
//
// Errors: ErrCannotFallBack, and then nothing has changed; those of Clear.
func (a *Address) FallBack(ctx context.Context, client netip.Addr) error {
	n := a.node
	if !a.IsContactNode() && !a.CanRelay() {
		return &OpError{"fall back", a.home, client, ErrCannotFallBack}
	}
	var known error
	n.event(func(now time.Time) { known = n.core.block(now, a.pair(client)) })
	if known != nil {
		return known
	}
	// The contact node first: what comes there for a connection that it does not know
	// would be reset.
	err := a.relayAll(ctx, client)
	return errors.Join(err, a.about(ctx, func(now time.Time, id opID) { n.core.fall(now, id, a.pair(client)) }))
}

// relayAll has all connections of a client that are served here relayed here.
func (a *Address) relayAll(ctx context.Context, client netip.Addr) error {
	n := a.node
	if a.IsContactNode() || n.cfg.Connections == nil {
		return nil
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	for _, c := range n.cfg.Connections(a.home) {
		if c.Client.Addr() != client {
			continue
		}
		wg.Go(func() {
			if err := n.relay.Withdraw(ctx, c); err != nil {
				mu.Lock()
				errs = append(errs, err)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// block remembers a client whose packets do not get through on the short cut.
func (c *core) block(now time.Time, p pair) error {
	cl, err := c.client(now, p)
	if err != nil {
		return &OpError{"fall back", p.Home, p.Client, err}
	}
	if !now.Before(cl.blocked) {
		c.count(CounterFellBack)
	}
	cl.blocked, cl.proven = now.Add(blockedMemory), false
	return nil
}

// fall takes a blocked client's packets off the short cut and removes its binding.
func (c *core) fall(now time.Time, id opID, p pair) {
	if cl := c.clients[p]; cl != nil {
		cl.falling = true
		c.sync(cl)
	}
	c.clear(now, id, p)
	if cl := c.clients[p]; cl != nil && (cl.op == nil || cl.op.kind != opClear) {
		cl.falling = false // over at once, or it could not begin
		c.sync(cl)
	}
}

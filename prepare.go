package vanycast

import (
	"context"
	"net"
	"net/netip"

	"github.com/vanycast/vanycast/api/wire"
)

// PrepareHandoff says that the client will be handed off to target soon: that
// replica makes itself ready for it, while the client is served here and the Conn
// is used as always. A Handoff to the same target within the next seconds (15)
// then takes hardly more than the way of the client's state; any other Handoff is
// as good as without. Handoff prepares by itself, so this is only for those who
// know early, say when they parse a request's header, that they will want one.
//
// The error is a *HandoffError that says why a Handoff to target would fail now:
// time to think of another. The end of the context ends the waiting; the
// preparing may go on, without any effect on the client.
func (c *Conn) PrepareHandoff(ctx context.Context, target netip.Addr) error {
	if err := ctx.Err(); err != nil {
		return c.opError("prepare", err)
	}
	c.mu.Lock()
	at, ended := c.phase, c.closed
	c.mu.Unlock()
	switch {
	case at == leaving && !ended:
		return c.opError("prepare", ErrInHandoff)
	case at == gone:
		return c.opError("prepare", ErrHandedOff)
	case at == closed || ended:
		return c.opError("prepare", net.ErrClosed)
	}
	tag, answer, err := c.s.expectTag()
	if err != nil {
		return c.opError("prepare", err)
	}
	defer c.s.unexpect(tag)
	c.s.wire.Send(&wire.Message{Kind: wire.KindPrepare, Client: c.client, Tag: tag, Target: target}, nil, -1)
	select {
	case r := <-answer:
		if r.err != nil {
			return c.opError("prepare", r.err)
		}
		if err := handoffError(r.Failure); err != nil {
			return c.opError("prepare", err)
		}
		return nil
	case <-ctx.Done():
		return c.opError("prepare", ctx.Err())
	}
}

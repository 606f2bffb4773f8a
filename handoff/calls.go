package handoff

import (
	"context"
	"errors"
	"net/netip"
	"syscall"

	"github.com/vanycast/vanycast/peer"
)

// offer asks the target whether it would take a client, and has it prepare for
// that as far as the mode says.
func (g *Agent) offer(ctx context.Context, target netip.Addr, b Binder, o offer) Event {
	if o.mode >= ModePrepared {
		mark, err := b.Preview(o.Client.Addr())
		if err != nil {
			return Event{Kind: EventFailed, Err: err}
		}
		o.mark = mark
	}
	return g.call(ctx, target, peer.KindOffer, o.marshal())
}

// call asks the target and makes an event of how that ended.
func (g *Agent) call(ctx context.Context, target netip.Addr, kind peer.Kind, msg []byte) Event {
	b, err := g.d.Peers.Call(ctx, target, kind, msg)
	if err == nil {
		var o Outcome
		if o, err = parseOutcome(b); err == nil {
			return Event{Kind: EventAnswer, Outcome: o}
		}
		g.count.malformed.Add(1)
	}
	var remote *peer.RemoteError
	switch {
	case errors.As(err, &remote) && remote.Code != peer.CodeInternal:
		// The channel's own refusals: nobody saw the request.
		return Event{Kind: EventUnsent, Err: &RefusedError{Reason: ReasonBusy, Text: remote.Text}}
	case errors.Is(err, peer.ErrUnreachable), errors.Is(err, peer.ErrTooLarge):
		return Event{Kind: EventUnsent, Err: err, Dead: errors.Is(err, syscall.ECONNREFUSED)}
	}
	return Event{Kind: EventFailed, Err: err}
}

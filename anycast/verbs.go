package anycast

import (
	"context"
	"errors"
	"net/netip"
	"time"
)

// about runs an operation about one client.
func (a *Address) about(ctx context.Context, begin func(now time.Time, id opID)) error {
	_, err := a.node.wait(ctx, a.node.cfg.HandoffTimeout, begin)
	return err
}

func (a *Address) pair(client netip.Addr) pair { return pair{Home: a.home, Client: client} }

// Probe finds out whether the client has Mobile IPv6, by a home test; the token
// is kept for what follows. Errors: ErrNoMobileIPv6 (at once if the client says
// so, and after a few tries if it says nothing; both remembered for a while),
// ErrNoHomeTest, ErrTimeout, the context's. Where a client without can be handed
// off as well as another, one that says nothing is not waited for as long.
func (a *Address) Probe(ctx context.Context, client netip.Addr) error {
	if a.CanRelay() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, probeTimeout, errSilent)
		defer cancel()
	}
	err := a.about(ctx, func(now time.Time, id opID) { a.node.core.probe(now, id, a.pair(client)) })
	if errors.Is(err, errSilent) && context.Cause(ctx) == errSilent {
		a.node.event(func(now time.Time) { err = a.node.core.silent(now, a.pair(client), err) })
	}
	return err
}

// Bind tells a client that is served here so: return routability and a Binding
// Update. On nil its traffic goes straight between it and this replica. Errors
// as of Start; until then, and on error, the client is served through the tunnel.
func (a *Address) Bind(ctx context.Context, client netip.Addr) error {
	return a.about(ctx, func(now time.Time, id opID) { a.node.core.bind(now, id, a.pair(client)) })
}

// Mark is what the acceptor of a handoff must know (mip6_handoff_mark). From now
// on, for half a minute, this replica tells the client nothing of its own accord.
func (a *Address) Mark(client netip.Addr) (Mark, error) {
	m, err := Mark{}, error(&OpError{"mark", a.home, client, ErrClosed})
	a.node.event(func(now time.Time) { m, err = a.node.core.mark(now, a.pair(client)) })
	return m, err
}

// Preview is the mark as it would be now, for Prepare at the acceptor. It has no
// effect.
func (a *Address) Preview(client netip.Addr) Mark {
	var m Mark
	a.node.event(func(now time.Time) { m = a.node.core.preview(now, a.pair(client)) })
	return m
}

// Prepare does all of return routability for a client that another replica
// serves and may hand to this one: by the mark's token or by a home test through
// the contact node, and by a care-of test. No Binding Update is sent: the client
// is told nothing, and nothing changes for it. What was learnt is kept while the
// tokens are fresh, and a Start within that time only has to send its Binding
// Update. Errors: ErrNoMobileIPv6, ErrNoHomeTest, ErrTimeout and the context's;
// ErrSuperseded if a Start came before it was through.
func (a *Address) Prepare(ctx context.Context, client netip.Addr, m Mark) error {
	return a.about(ctx, func(now time.Time, id opID) { a.node.core.prepare(now, id, a.pair(client), m) })
}

// Start makes a client ours (mip6_handoff_start): return routability, by the
// mark's token or by a home test through the contact node, as far as Prepare has
// not done it, then a Binding Update with the number after the mark's. On nil the
// client sends here and its traffic goes straight. Errors: ErrNoMobileIPv6; *SequenceError if another replica has
// told the client since the mark; *StatusError for another refusal; ErrNoHomeTest;
// ErrTimeout and the context's. An error that is also ErrUntouched came before
// any Binding Update; after ErrTimeout or the context's without it, the client
// may or may not have accepted: Reclaim at the donor finds out. No update is sent
// after ctx's deadline, also where this host stood still meanwhile.
func (a *Address) Start(ctx context.Context, client, donor netip.Addr, m Mark) error {
	until, _ := ctx.Deadline()
	return a.about(ctx, func(now time.Time, id opID) { a.node.core.start(now, id, a.pair(client), donor, m, until) })
}

// Finish forgets a client that another replica serves now (mip6_handoff_finish).
func (a *Address) Finish(client netip.Addr) {
	a.node.event(func(now time.Time) { a.node.core.handedOff(now, a.pair(client)) })
}

// Reclaim asks the client itself who owns it, after a handoff with this mark
// whose end did not become known. To be called when the acceptor's Start is over:
// HandoffTimeout after the acceptor was asked. On nil the client is ours, and
// told so; a *SequenceError says that it is the acceptor's. Other errors as of
// Start: nothing is known.
func (a *Address) Reclaim(ctx context.Context, client netip.Addr, m Mark) error {
	return a.about(ctx, func(now time.Time, id opID) { a.node.core.reclaim(now, id, a.pair(client), m) })
}

// Hold stops the client's traffic at this replica: nothing goes out, and what
// comes in is dropped or kept by the data plane, never answered.
func (a *Address) Hold(client netip.Addr) error { return a.hold(client, true) }

// Unhold lets it go on, as the client's binding says.
func (a *Address) Unhold(client netip.Addr) error { return a.hold(client, false) }

func (a *Address) hold(client netip.Addr, held bool) error {
	return a.about(context.Background(), func(now time.Time, id opID) {
		a.node.core.hold(now, id, a.pair(client), held) // over at once
	})
}

// Clear deletes the client's binding, so that what it sends next goes to the
// contact node (mip6_handoff_clear). What this replica knows of the binding is
// gone on return, whatever it returns. Errors: *SequenceError if another replica
// has told the client since; ErrTimeout, ErrNoHomeTest, ErrNoMobileIPv6 and the
// context's: then the client's binding ends with its lifetime.
//
// Where this replica relays connections of the client to others the binding goes
// to one of them instead, as Cede does.
func (a *Address) Clear(ctx context.Context, client netip.Addr) error {
	if owner := a.owner(client); owner.IsValid() {
		return a.Cede(ctx, client, owner)
	}
	return a.clear(ctx, client)
}

func (a *Address) clear(ctx context.Context, client netip.Addr) error {
	return a.about(ctx, func(now time.Time, id opID) { a.node.core.clear(now, id, a.pair(client)) })
}

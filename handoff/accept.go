package handoff

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// askWait is how long a donor that asks waits for a handoff that is not decided.
const askWait = time.Second

var errLate = errors.New("not bound in time")

// serveOffer answers whether a client would be taken.
func (g *Agent) serveOffer(ctx context.Context, from netip.Addr, b []byte) ([]byte, error) {
	o, err := parseOffer(b, from)
	if err != nil {
		return g.reply(g.malformed(from, err)), nil
	}
	refuse := func(err error, otherwise Reason) ([]byte, error) {
		r := refusal(err, otherwise)
		return g.reply(Outcome{Verdict: VerdictRefused, Reason: r.Reason, Text: r.Text}), nil
	}
	binder, err := g.admit(o.Offer)
	if err != nil {
		return refuse(err, ReasonUnspecified)
	}
	g.awaitLeft(ctx, o.Offer)
	mode := min(o.mode, g.d.Modes(o.Service))
	if mode >= ModePrepared {
		if err := g.prepare(ctx, binder, o); err != nil {
			return refuse(err, ReasonBind)
		}
	}
	g.awaitReady(ctx, binder, o.Client.Addr())
	if mode >= ModeSeamless && !g.expect(binder, o) {
		mode = ModePrepared
	}
	return g.reply(Outcome{Verdict: VerdictAccepted, Mode: mode}), nil
}

// expect has the client's packets kept from now on, if that is possible. A donor
// that offers a client that is served here does not get them.
func (g *Agent) expect(binder Binder, o *offer) bool {
	if g.d.Serves(o.Contact, o.Client) {
		return false
	}
	if err := binder.Expect(o.From, false); err != nil {
		g.d.Logger.Debug("handoff: packets are not kept", "client", o.Client, "contact", o.Contact, "err", err)
		return false
	}
	return true
}

// prepare does return routability while the donor still serves the client: a
// client that cannot be bound here is not frozen for it.
func (g *Agent) prepare(ctx context.Context, binder Binder, o *offer) error {
	ctx, cancel := context.WithTimeout(ctx, g.d.Timing.preparing())
	defer cancel()
	return binder.Prepare(ctx, o.Client.Addr(), o.mark)
}

// awaitLeft waits until this host has done with a connection that it handed off
// and is offered again: who has it was quicker than its acknowledgement to us,
// and our frozen socket is still in the way. It ends with the donor's patience.
func (g *Agent) awaitLeft(ctx context.Context, o Offer) {
	c := connection{o.Contact, o.Client}
	g.mu.Lock()
	l, ok := g.donating[c]
	if !ok {
		l, ok = g.donating[c.whole()]
	}
	g.mu.Unlock()
	if !ok || l.contact != o.Contact || l.client != o.Client {
		return
	}
	select {
	case <-l.ended:
	case <-ctx.Done():
	case <-g.ctx.Done():
	}
}

// awaitReady lets the time pass in which the client may not be told of its new
// server, while the old one serves it. It ends with the donor's patience.
func (g *Agent) awaitReady(ctx context.Context, binder Binder, client netip.Addr) {
	wait := time.Until(binder.Ready(client))
	if wait <= 0 {
		return
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	case <-g.ctx.Done():
	}
}

// admit gives the Binder of a client that can be taken, or says why it cannot.
func (g *Agent) admit(o Offer) (Binder, error) {
	if g.ctx.Err() != nil {
		return nil, &RefusedError{Reason: ReasonDraining}
	}
	binder, ok := g.d.Anycast(o.Contact, o.Client)
	if !ok {
		return nil, &RefusedError{Reason: ReasonNoService, Text: fmt.Sprintf("contact address %s is not served here", o.Contact.Addr())}
	}
	return binder, g.d.Admit(o)
}

func (g *Agent) malformed(from netip.Addr, err error) Outcome {
	g.count.malformed.Add(1)
	g.d.Logger.Warn("handoff: message refused", "from", from, "err", err)
	reason := ReasonMalformed
	if errors.Is(err, errVersion) {
		reason = ReasonVersion
	}
	r := refusal(err, reason)
	return Outcome{Verdict: VerdictRefused, Reason: r.Reason, Text: r.Text}
}

// reply completes and encodes an outcome.
func (g *Agent) reply(o Outcome) []byte {
	o.Instance = g.instance
	return o.marshal()
}

// serveHandoff takes a client. It goes on when the donor's connection is lost:
// the donor asks again.
func (g *Agent) serveHandoff(ctx context.Context, from netip.Addr, b []byte) ([]byte, error) {
	received := time.Now()
	r, err := parseRequest(b)
	if err != nil {
		return g.reply(g.malformed(from, err)), nil
	}
	if !g.begin() {
		return g.reply(Outcome{Verdict: VerdictRefused, Reason: ReasonDraining}), nil
	}
	defer g.wg.Done()
	at, fresh := g.outcomes.begin(attemptKey{from, r.attempt}, received)
	switch {
	case at == nil:
		return g.reply(Outcome{Verdict: VerdictRefused, Reason: ReasonBusy, Text: "too many handoffs to remember"}), nil
	case fresh && r.instance != g.instance:
		// A donor that asks the process that it means gets an answer that must
		// stay true: so a request that is late must not be taken by another.
		g.outcomes.decide(at, Outcome{Verdict: VerdictUnknown}, received)
	case fresh:
		g.outcomes.decide(at, g.take(from, r, at, len(b), received), time.Now())
	}
	return g.reply(g.await(ctx, at)), nil
}

// serveOutcome answers what became of a handoff.
func (g *Agent) serveOutcome(ctx context.Context, from netip.Addr, b []byte) ([]byte, error) {
	id, abort, err := parseQuestion(b)
	if err != nil {
		return g.reply(g.malformed(from, err)), nil
	}
	at, fresh := g.outcomes.begin(attemptKey{from, id}, time.Now())
	switch {
	case at == nil: // not known, but if it comes late it would be taken
		return g.reply(Outcome{Verdict: VerdictPending}), nil
	case fresh:
		g.outcomes.decide(at, Outcome{Verdict: VerdictUnknown}, time.Now())
	case abort:
		at.stop()
	}
	return g.reply(g.await(ctx, at)), nil
}

// await returns the outcome of an attempt, VerdictPending if it takes too long.
func (g *Agent) await(ctx context.Context, at *attempt) Outcome {
	select {
	case <-at.decided:
		return at.outcome
	default:
	}
	timer := time.NewTimer(askWait)
	defer timer.Stop()
	select {
	case <-at.decided:
		return at.outcome
	case <-ctx.Done():
	case <-timer.C:
	}
	return Outcome{Verdict: VerdictPending}
}

// take does the acceptor's half.
func (g *Agent) take(from netip.Addr, r *request, at *attempt, size int, received time.Time) Outcome {
	g.mu.Lock()
	busy := g.accepting >= g.d.MaxHandoffs
	if !busy {
		g.accepting++
	}
	g.mu.Unlock()
	if busy {
		return Outcome{Verdict: VerdictRefused, Reason: ReasonBusy, Text: "too many handoffs at once"}
	}
	a := &acceptance{
		g: g, from: from, req: r, size: size, received: received, attempt: at,
		machine: NewAcceptor(min(r.budget, g.d.Timing.budget())),
		conn:    connection{r.contact, r.client}, fd: -1,
	}
	out := a.run()
	g.mu.Lock()
	g.accepting--
	g.mu.Unlock()
	return out
}

// acceptance carries out what an Acceptor wants.
type acceptance struct {
	work
	g        *Agent
	from     netip.Addr
	req      *request
	size     int
	received time.Time
	attempt  *attempt
	machine  *Acceptor
	conn     connection
	binder   Binder
	inserted Inserted
	speaks   bool   // it lives before it is bound
	guard    Guard  // of a connection that speaks
	arrived  func() // says that it is bound, too
	fd       int
	gap      time.Duration

	aborted, closing *signal
}

func (a *acceptance) run() Outcome {
	a.aborted = &signal{a.attempt.ctx.Done(), func() Event { return Event{Kind: EventAbort} }}
	a.closing = &signal{a.g.ctx.Done(), func() Event { return Event{Kind: EventGiveUp} }}
	e := Event{Kind: EventStart}
	for {
		next := Event{}
		for _, act := range a.machine.Step(time.Now(), e) {
			if act.Kind == ActionEnd {
				a.stop()
				return a.end(act.Outcome)
			}
			next = a.perform(act)
		}
		if e = next; e.Kind == 0 {
			e = a.wait(a.machine.Deadline(), a.aborted, a.closing)
		}
	}
}

// perform does an action or begins it; the event is that of one that is done.
func (a *acceptance) perform(act Action) Event {
	g, r, client := a.g, a.req, a.conn.client.Addr()
	switch act.Kind {
	case ActionAdmit:
		return a.do(act.Kind, func() (err error) { a.binder, err = g.admit(r.offer(a.from)); return err })
	case ActionInsert:
		e := a.do(act.Kind, a.insert)
		e.Speaks = a.speaks
		return e
	case ActionStart:
		if !a.speaks {
			return a.during(a.attempt.ctx, g, act.Kind, a.machine.Deadline(), func(ctx context.Context) Event {
				return result(a.binder.Start(ctx, client, a.from, r.mark))
			}, a.aborted, a.closing)
		}
		a.start(g, act.Kind, func(ctx context.Context) Event { // its time only ends that we wait
			err := a.binder.Start(ctx, client, a.from, r.mark)
			if err == nil {
				err = a.binder.Open(a.from)
			}
			return result(err)
		})
	case ActionStop:
		if a.cancel != nil {
			a.cancel() // it reports all the same
		}
	case ActionActivate:
		return a.do(act.Kind, a.activate)
	case ActionDeliver:
		return a.do(act.Kind, func() error {
			if a.speaks {
				a.arrived = g.arriving(a.conn)
			}
			g.d.Deliver(&Client{
				ID: r.id, Service: r.service, Local: r.contact, Remote: r.client, FD: a.fd,
				State:     slices.Clone(r.state), // the message's other parts may go
				HandedOff: true, From: a.from, Relayed: a.binder.Alone(), Immobile: a.binder.Immobile(), Since: time.Now(),
			})
			return nil
		})
	case ActionSever:
		return a.do(act.Kind, func() error {
			// Its late packets must not meet a listener.
			a.binder.Finish(client)
			g.hold(a.conn, a.binder)
			var err error
			if a.guard != nil {
				err = a.guard.Sever()
			}
			return errors.Join(err, a.binder.Undo())
		})
	case ActionAbandon:
		return a.do(act.Kind, func() error {
			// In this order there is no moment when a segment of the client
			// meets nothing but a listener.
			a.binder.Finish(client)
			if act.Touched {
				g.hold(a.conn, a.binder)
			}
			return errors.Join(a.inserted.Abort(), a.binder.Undo())
		})
	}
	return Event{}
}

// insert makes the connection on this host. If it was here before, its old
// socket is in the way; while there is neither, what comes for it is dropped.
func (a *acceptance) insert() error {
	kept := false
	if a.req.mode < ModeSeamless {
		// What an earlier handoff of the same connection still does with its
		// packets ends here.
		if err := a.binder.Undo(); err != nil {
			return err
		}
	} else if err := a.binder.Expect(a.from, true); err != nil {
		// Packets may be lost then; TCP sends them again.
		a.g.d.Logger.Warn("handoff: packets are not kept", "client", a.req.client, "contact", a.req.contact, "err", err)
	} else {
		kept = true
	}
	old, buried := a.g.d.TCP.Exhume(a.req.contact, a.req.client)
	if buried {
		if !kept { // else they reach nobody as it is
			a.g.hold(a.conn, a.binder)
		}
		if err := old.Forget(); err != nil {
			a.g.d.Logger.Warn("handoff: closing a buried connection", "client", a.req.client, "err", err)
		}
	}
	var err error
	if a.inserted, err = a.g.d.TCP.Insert(a.req.endpoint); err != nil {
		if buried && kept {
			a.g.hold(a.conn, a.binder)
		}
		return err
	}
	a.g.unhold(a.conn)
	a.speaks = a.req.mode >= ModeSeamless && a.binder.CanSpeak(a.req.mark)
	return nil
}

// activate makes the connection live, and lets its packets in.
func (a *acceptance) activate() (err error) {
	open := a.binder.Open
	if a.speaks {
		open = a.binder.Through
	}
	a.fd, err = a.inserted.Activate(func() error { return open(a.from) })
	a.gap = time.Since(a.received)
	if err != nil || !a.speaks {
		return err
	}
	// Without it nobody would be told that the connection is lost, should it come to
	// that: no reason to lose it now.
	if a.guard, err = a.g.d.TCP.Guard(a.fd); err != nil {
		a.g.d.Logger.Warn("handoff: guarding a connection", "client", a.req.client, "err", err)
	}
	return nil
}

// end keeps the record.
func (a *acceptance) end(o Outcome) Outcome {
	r := Record{
		ID: a.req.id, Service: a.req.service, Client: a.req.client, Contact: a.req.contact, From: a.from, To: a.g.d.Self,
		Role: RoleAcceptor, Mode: a.req.mode, Started: a.received, Gap: a.gap, Bytes: a.size, Phases: a.phases,
	}
	if o.Verdict != VerdictAccepted {
		r.Err = o.refusal().Error()
	}
	if a.arrived != nil {
		a.arrived()
	}
	if a.guard != nil {
		if err := a.guard.Close(); err != nil {
			a.g.d.Logger.Warn("handoff: closing a descriptor", "client", a.req.client, "err", err)
		}
	}
	a.g.note(r)
	return o
}

package handoff

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/vanycast/vanycast/peer"
)

// Handoff gives a client to the target. The application's reader and writer are
// stopped. On nil the client is not here any more, and c.FD is -1. After an error
// it is alive here as before, unless the error is ErrGone. *RefusedError and
// ErrUnreachable mean that another target may be tried.
//
// When ctx ends the handoff is given up, if it can be: once the client is on its
// way, Handoff returns only when it is known who has it, at most Timing.Recover
// and a few seconds later.
func (g *Agent) Handoff(ctx context.Context, c *Client, target netip.Addr) error {
	if c.FD < 0 {
		return fmt.Errorf("%w: client %d has no descriptor", ErrGone, c.ID)
	}
	if !g.begin() {
		return ErrClosed
	}
	defer g.wg.Done()
	if err := g.awaitArrived(ctx, connection{c.Local, c.Remote}); err != nil {
		return err
	}
	binder, ok := g.d.Anycast(c.Local, c.Remote)
	if !ok {
		return fmt.Errorf("%w: %s", ErrNoContact, c.Local.Addr())
	}
	if err := binder.Begin(ctx); err != nil {
		return fmt.Errorf("handoff: begin with client %s: %w", c.Remote.Addr(), err)
	}
	defer binder.End()
	mode := g.d.Modes(c.Service)
	d := &donation{
		g: g, c: c, target: target, binder: binder, machine: NewDonor(g.d.Timing, mode),
		req: request{mode: mode, budget: g.d.Timing.budget(), id: c.ID, service: c.Service, contact: c.Local, client: c.Remote, state: c.State},
	}
	rand.Read(d.req.attempt[:])
	if err := d.req.check(); err != nil {
		return err
	}
	moves := moving(connection{c.Local, c.Remote}, binder)
	if !g.lock(moves, c) {
		return fmt.Errorf("%w: client %s", ErrBusy, c.Remote.Addr())
	}
	defer g.unlock(moves)
	if p, ok := g.prepared.take(connection{c.Local, c.Remote}, target, time.Now()); ok {
		d.machine.Offered(p.instance, p.mode)
	}
	return d.run(ctx)
}

// moving is what a handoff of a connection moves: it alone, or all that the client
// has with the contact address, which has no ports then.
func moving(c connection, b Binder) connection {
	if b.Alone() {
		return c
	}
	return c.whole()
}

// lock begins a donation of what moves; false if one is under way or there are
// too many.
func (g *Agent) lock(moves connection, c *Client) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, busy := g.donating[moves]; busy || len(g.donating) >= g.d.MaxHandoffs {
		return false
	}
	if _, busy := g.donating[moves.whole()]; busy {
		return false // the client is told of another replica; who relays then is not known yet
	}
	g.donating[moves] = leaving{contact: c.Local, client: c.Remote, ended: make(chan struct{})}
	return true
}

func (g *Agent) unlock(moves connection) {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.donating[moves].ended)
	delete(g.donating, moves)
}

// donation carries out what a Donor wants.
type donation struct {
	work
	g       *Agent
	c       *Client
	target  netip.Addr
	binder  Binder
	machine *Donor
	req     request
	bytes   []byte // req, encoded
	frozen  Frozen

	diverted bool // what comes is sent to the target

	started, frozenAt time.Time
	gap               time.Duration
	lost              bool // an acknowledgement was missed

	ctx                context.Context // of who wanted the handoff
	cancelled, closing *signal
}

func (d *donation) run(ctx context.Context) error {
	d.started = time.Now()
	d.ctx = ctx
	d.cancelled = &signal{ctx.Done(), func() Event { return Event{Kind: EventCancel, Err: context.Cause(ctx)} }}
	d.closing = &signal{d.g.ctx.Done(), func() Event { return Event{Kind: EventCancel, Err: ErrClosed} }}
	giveUp := &signal{d.g.giveUp, func() Event { return Event{Kind: EventGiveUp} }}
	e := Event{Kind: EventStart}
	for {
		next := Event{}
		for _, a := range d.machine.Step(time.Now(), e) {
			if a.Kind == ActionEnd {
				d.stop()
				return d.end(a.Err)
			}
			next = d.perform(a)
		}
		if e = next; e.Kind == 0 {
			e = d.wait(d.machine.Deadline(), d.cancelled, d.closing, giveUp)
		}
	}
}

// perform does an action or begins it; the event is that of one that is done.
func (d *donation) perform(a Action) Event {
	client := d.c.Remote.Addr()
	switch a.Kind {
	case ActionOffer:
		return d.during(d.ctx, d.g, a.Kind, d.machine.Deadline(), func(ctx context.Context) Event {
			return d.g.offer(ctx, d.target, d.binder, offer{Offer: d.req.offer(d.g.d.Self), mode: d.machine.Mode()})
		}, d.cancelled, d.closing)
	case ActionFreeze:
		d.frozenAt = time.Now()
		e := d.do(a.Kind, d.freeze)
		e.Speaks = d.diverted && d.binder.Alone()
		return e
	case ActionExtract:
		return d.do(a.Kind, d.extract)
	case ActionSend:
		return d.during(d.ctx, d.g, a.Kind, d.machine.Deadline(), func(ctx context.Context) Event {
			return d.g.call(ctx, d.target, peer.KindHandoff, d.bytes)
		}, d.cancelled, d.closing)
	case ActionAsk:
		d.lost = true
		msg := marshalQuestion(d.req.attempt, a.Abort)
		d.start(d.g, a.Kind, func(ctx context.Context) Event { return d.g.call(ctx, d.target, peer.KindOutcome, msg) })
	case ActionReclaim:
		d.start(d.g, a.Kind, func(ctx context.Context) Event { return reclaimed(d.binder.Reclaim(ctx, client, d.req.mark)) })
	case ActionHalt:
		heard := false
		e := d.do(a.Kind, func() (err error) { heard, err = d.binder.Halt(); return err })
		if e.Kind == EventDone && heard {
			return Event{Kind: EventTaken, Err: errHeard}
		}
		return e
	case ActionWait:
		d.stop()
	case ActionBind:
		if !d.binder.Alone() { // who relays knows better
			d.binder.Finish(client) // what we knew of its binding is not true any more
		}
		d.start(d.g, a.Kind, func(ctx context.Context) Event { return result(d.binder.Bind(ctx, client)) })
	case ActionThaw:
		defer d.thawedNow()
		return d.do(a.Kind, func() error {
			if !d.diverted {
				return d.frozen.Thaw()
			}
			return errors.Join(d.binder.Undo(), d.frozen.Thaw())
		})
	case ActionRelease:
		d.thawedNow()
		return d.do(a.Kind, func() error {
			d.c.FD = -1
			d.binder.Finish(client)
			if d.diverted {
				d.binder.Left()
			}
			d.g.bury(d.frozen)
			return nil
		})
	}
	return Event{}
}

func (d *donation) thawedNow() { d.gap = time.Since(d.frozenAt) }

// freeze stops the connection and, in seamless mode, sends on what comes. Where
// that cannot be done packets may be lost, and TCP repairs it.
func (d *donation) freeze() (err error) {
	d.frozen, err = d.g.d.TCP.Freeze(d.c.FD, func() error {
		if d.machine.Mode() < ModeSeamless {
			return nil
		}
		if err := d.binder.Divert(d.target); err != nil {
			d.g.d.Logger.Warn("handoff: packets are not sent on", "client", d.c.Remote, "contact", d.c.Local, "err", err)
			return nil
		}
		d.diverted = true
		return nil
	})
	if err != nil && d.diverted {
		err = errors.Join(err, d.binder.Undo())
	}
	return err
}

// mode is how the client is handed off as far as it turned out.
func (d *donation) mode() Mode {
	if m := d.machine.Mode(); m < ModeSeamless || d.diverted || d.frozen == nil {
		return m
	}
	return ModePrepared
}

// extract makes the request whole.
func (d *donation) extract() error {
	endpoint, err := d.frozen.Extract()
	if err != nil {
		return err
	}
	mark, err := d.binder.Mark(d.c.Remote.Addr())
	if err != nil {
		return fmt.Errorf("handoff: mark of client %s: %w", d.c.Remote.Addr(), err)
	}
	d.req.endpoint, d.req.mark, d.req.instance, d.req.mode = endpoint, mark, d.machine.Instance(), d.mode()
	if err := d.req.check(); err != nil {
		return err
	}
	d.bytes = d.req.marshal()
	return nil
}

var errHeard = errors.New("handoff: the client has heard the target")

func result(err error) Event {
	if err != nil {
		return Event{Kind: EventFailed, Err: err}
	}
	return Event{Kind: EventDone}
}

func reclaimed(err error) Event {
	if errors.Is(err, ErrTaken) {
		return Event{Kind: EventTaken, Err: err}
	}
	return result(err)
}

// end keeps the record and completes the error.
func (d *donation) end(err error) error {
	err = targeted(err, d.target)
	if errors.Is(err, ErrGone) {
		d.g.count.gone.Add(1)
	} else if d.lost {
		d.g.count.recovered.Add(1)
	}
	r := Record{
		ID: d.c.ID, Service: d.c.Service, Client: d.c.Remote, Contact: d.c.Local, From: d.g.d.Self, To: d.target,
		Role: RoleDonor, Mode: d.mode(), Started: d.started, Gap: d.gap, Bytes: len(d.bytes), Phases: d.phases,
	}
	if err != nil {
		d.c.Failed = d.target
		r.Err = err.Error()
	}
	d.g.note(r)
	return err
}

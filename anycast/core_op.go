package anycast

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/vanycast/vanycast/mipv6/bindings"
	"github.com/vanycast/vanycast/mipv6/rr"
)

// opKind is what is being done about a client. There is one at a time.
type opKind uint8

const (
	opPrepare opKind = iota // return routability only
	opRefresh               // our own: nobody waits
	opBind
	opClear
	opStart
	opReclaim
)

func (k opKind) String() string {
	return [...]string{"prepare", "refresh", "bind", "clear", "start", "reclaim"}[k]
}

// phase is how far an operation is.
type phase uint8

const (
	phaseTests  phase = iota // return routability
	phaseUpdate              // the Binding Update is out
)

func (p phase) String() string { return [...]string{"return routability", "binding update"}[p] }

// op is one operation about a client: return routability as far as tokens are
// missing, then a Binding Update until it is answered.
type op struct {
	id      opID
	also    []opID // others who wait for the same
	kind    opKind
	phase   phase
	run     *rr.Initiator
	params  bindings.Params
	keys    rr.Keys // those that the update was made with
	redone  bool    // part of return routability was done again after status 136–138
	reclaim reclaimStep
	mark    uint16    // of opReclaim: the number in the mark
	sent    int       // of opReclaim: transmissions in this step
	told    bool      // an update was sent
	until   time.Time // of opStart: no update is sent from then on; zero: no such time
}

// startOp begins an operation, in the place of one that matters less. It reports
// whether it did.
func (c *core) startOp(now time.Time, p pair, o *op) bool {
	name := o.kind.String()
	cl, err := c.client(now, p)
	if err != nil {
		c.reply(o.id, name, p, fmt.Errorf("%w (%w)", err, ErrUntouched))
		return false
	}
	if now.Before(cl.blocked) && o.kind != opClear && o.kind != opReclaim {
		c.reply(o.id, name, p, fmt.Errorf("%w that gets through: %w (%w)", ErrNoMobileIPv6, ErrBlocked, ErrUntouched))
		return false
	}
	if old := cl.op; old != nil {
		switch {
		case old.kind == o.kind && (o.kind == opPrepare || o.kind == opBind || o.kind == opClear):
			c.begin(o.id, name, p)
			old.also = append(old.also, o.id)
			return false
		case old.kind >= o.kind || old.kind >= opStart:
			c.reply(o.id, name, p, fmt.Errorf("%w: %v (%w)", ErrBusy, old.kind, ErrUntouched))
			return false
		}
		c.endOp(now, cl, ErrSuperseded)
	}
	if o.id != 0 {
		c.begin(o.id, name, p)
	}
	cl.op = o
	c.tests(now, cl)
	return true
}

// endOp ends the operation under way, well or badly.
func (c *core) endOp(now time.Time, cl *client, err error) {
	o := cl.op
	if o == nil {
		return
	}
	cl.early = false
	if err != nil && !o.told {
		err = fmt.Errorf("%w (%w)", err, ErrUntouched)
	}
	if err == nil && o.kind == opStart {
		cl.held = false // whatever was held back for the donor's time is over
	}
	c.unwantHome(cl, 0)
	delete(c.running, cl.pair)
	c.list.Abort(target(cl.pair))
	if o.kind == opClear && !errors.Is(err, ErrSuperseded) {
		// Well or badly: what we have of the binding goes in any case, and at
		// the client it expires.
		cl.held, cl.falling, cl.guarded = false, false, time.Time{}
		c.disown(cl)
	}
	c.sync(cl) // while the operation is still known: a failure to set the route is its failure
	cl.op = nil
	c.finish(o.id, err)
	for _, id := range o.also {
		c.finish(id, err)
	}
	if o.kind == opRefresh && err != nil && c.bound(cl) && !errors.Is(err, ErrSuperseded) && !errors.Is(err, ErrClosed) {
		c.log(slog.LevelWarn, "binding not refreshed", "contact", cl.Home, "client", cl.Client, "err", err)
		c.list.Postpone(target(cl.pair), now.Add(refreshRetry))
	}
}

// overdue ends an operation whose time is over, before more is sent for it: after a
// standstill its timers are due all at once, and the waiter's may come last.
func (c *core) overdue(now time.Time, cl *client) bool {
	o := cl.op
	if o == nil || o.until.IsZero() || now.Before(o.until) {
		return false
	}
	c.endOp(now, cl, fmt.Errorf("%v: %w", o.waitsFor(), ErrTimeout))
	return true
}

// cancel ends operation id for its waiter: the context has ended.
func (c *core) cancel(now time.Time, id opID, cause error) {
	w := c.ops[id]
	if w == nil {
		return
	}
	cl := c.clients[w.pair]
	switch {
	case !w.pair.Client.IsValid():
		c.cancelRegistration(now, w.pair.Home, id, cause)
	case cl == nil:
		c.finish(id, cause)
	case w.isHome:
		c.unwantHome(cl, id)
		c.finish(id, fmt.Errorf("waiting for a home test: %w", cause))
	case cl.op != nil && cl.op.id == id && len(cl.op.also) == 0:
		c.endOp(now, cl, fmt.Errorf("%v: %w", cl.op.waitsFor(), cause))
	case cl.op != nil:
		c.finish(id, cause) // others wait for the same
	default:
		c.finish(id, cause)
	}
}

// waitsFor says what is missing, for the error.
func (o *op) waitsFor() string {
	if o.phase == phaseTests && o.run != nil {
		return "waiting for " + o.run.Missing().String()
	}
	return "waiting for the acknowledgement of the binding update"
}

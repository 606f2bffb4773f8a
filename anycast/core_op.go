package anycast

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/bindings"
	"github.com/vanycast/vanycast/mipv6/rr"
)

// opKind is what is being done about a client. There is one at a time.
type opKind uint8

const (
	opRefresh opKind = iota // our own: nobody waits
	opBind
	opClear
	opStart
	opReclaim
)

func (k opKind) String() string {
	return [...]string{"refresh", "bind", "clear", "start", "reclaim"}[k]
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
	mark    uint16 // of opReclaim: the number in the mark
	sent    int    // of opReclaim: transmissions in this step
}

// startOp begins an operation, in the place of one that matters less. It reports
// whether it did.
func (c *core) startOp(now time.Time, p pair, o *op) bool {
	name := o.kind.String()
	cl, err := c.client(now, p)
	if err != nil {
		c.reply(o.id, name, p, err)
		return false
	}
	if old := cl.op; old != nil {
		switch {
		case old.kind == o.kind && (o.kind == opBind || o.kind == opClear):
			c.begin(o.id, name, p)
			old.also = append(old.also, o.id)
			return false
		case old.kind >= o.kind || old.kind >= opStart:
			c.reply(o.id, name, p, fmt.Errorf("%w: %v", ErrBusy, old.kind))
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

// tests begins return routability for the tokens that are missing.
func (c *core) tests(now time.Time, cl *client) {
	o := cl.op
	o.phase = phaseTests
	need := rr.NeedHome
	if o.params.Lifetime > 0 && !cl.careOf.Fresh(now) {
		need = rr.NeedBoth
	}
	cfg := rr.InitiatorConfig{
		Home: cl.Home, CareOf: c.cfg.careOf, Correspondent: cl.Client, Need: need,
		Relayed: true, Tries: testTries, Rand: c.cfg.rand,
	}
	if cl.home.Fresh(now) {
		cfg.HomeToken = &cl.home
	}
	o.run = rr.NewInitiator(cfg)
	sends, err := o.run.Start(now)
	if err != nil {
		c.endOp(now, cl, err)
		return
	}
	c.sendTests(sends)
	if o.run.Done() {
		c.tested(now, cl)
		return
	}
	c.running[cl.pair] = cl
	if o.run.Missing()&rr.NeedHome != 0 {
		c.wantHome(now, cl, homeWaiter{asker: c.cfg.careOf})
	}
}

// opHome: the home keygen token that the operation waits for is there.
func (c *core) opHome(now time.Time, cl *client) {
	o := cl.op
	if o == nil || o.phase != phaseTests {
		return
	}
	o.run.SetHomeToken(cl.home)
	if o.run.Done() {
		c.tested(now, cl)
	}
}

// tested: all tokens are there. The Binding Update goes out.
func (c *core) tested(now time.Time, cl *client) {
	o := cl.op
	delete(c.running, cl.pair)
	if keys := o.run.Keys(); !keys.CareOf.Received.IsZero() {
		cl.careOf = keys.CareOf
	}
	o.keys = rr.Keys{Home: cl.home, CareOf: cl.careOf}
	o.phase = phaseUpdate
	if o.kind == opStart {
		// From the moment that the client accepts the update it sends here,
		// before we hear of it. Nothing of ours goes out yet: the connection
		// is frozen.
		cl.early = true
		c.sync(cl)
	}
	c.update(now, cl)
}

// update begins the exchange of Binding Update and Acknowledgement.
func (c *core) update(now time.Time, cl *client) {
	o := cl.op
	o.sent = 0
	if _, known := c.list.Get(target(cl.pair)); !known {
		if err := c.list.Learn(target(cl.pair), c.firstSequence()); err != nil {
			c.endOp(now, cl, fmt.Errorf("%w: %w", ErrTableFull, err))
			return
		}
	}
	if err := c.list.Begin(now, target(cl.pair), o.params); err != nil {
		c.endOp(now, cl, err)
		return
	}
	c.pollList(now)
}

// transmit makes the Binding Update that the list wants sent to a client.
func (c *core) transmit(cl *client, a bindings.Action) {
	o := cl.op
	if o == nil {
		return
	}
	o.sent++
	bu := &mipv6.BindingUpdate{Sequence: a.Sequence, Acknowledge: true, Lifetime: a.Lifetime}
	key := o.keys.Kbm()
	if a.Lifetime == 0 {
		// A deletion needs the home token only. Naming the home address as
		// care-of address says the same in another way (RFC 6275 §9.5.1), and
		// leaves no doubt which address the authenticator covers (§6.2.7).
		key = o.keys.KbmDelete()
		bu.Options = append(bu.Options, &mipv6.AlternateCareOf{Addr: cl.Home},
			&mipv6.NonceIndices{Home: o.keys.Home.NonceIndex})
	} else {
		bu.Options = append(bu.Options, o.keys.NonceIndices())
	}
	c.do(sendAction{
		src: c.cfg.careOf, dst: cl.Client, home: cl.Home, message: bu,
		key: &key, covered: covered(c.cfg.careOf, cl.Home, a.Lifetime), op: o.id,
	})
}

// endOp ends the operation under way, well or badly.
func (c *core) endOp(now time.Time, cl *client, err error) {
	o := cl.op
	if o == nil {
		return
	}
	cl.early = false
	c.unwantHome(cl, 0)
	delete(c.running, cl.pair)
	c.list.Abort(target(cl.pair))
	c.sync(cl) // while the operation is still known: a failure to set the route is its failure
	cl.op = nil
	c.finish(o.id, err)
	for _, id := range o.also {
		c.finish(id, err)
	}
	if o.kind == opRefresh && err != nil && c.bound(cl) && !errors.Is(err, ErrSuperseded) && !errors.Is(err, ErrClosed) {
		c.log(slog.LevelWarn, "binding not refreshed", "contact", cl.Home, "client", cl.Client, "error", err)
		c.list.Postpone(target(cl.pair), now.Add(refreshRetry))
	}
}

// acknowledged takes a Binding Acknowledgement of a client, found authentic.
func (c *core) acknowledged(now time.Time, cl *client, m *mipv6.BindingAcknowledgement) {
	o := cl.op
	switch out := c.list.Acknowledge(now, target(cl.pair), m); out.Kind {
	case bindings.Accepted:
		c.accepted(now, cl)
	case bindings.Resynced:
		c.pollList(now)
	case bindings.Refused:
		switch {
		case out.Status == mipv6.StatusSequenceOutOfWindow && o.kind == opReclaim:
			c.reclaimRefused(now, cl, out.Last)
		case out.Status == mipv6.StatusSequenceOutOfWindow:
			c.overtaken(now, cl, out.Last)
		case expiredNonce(out.Status) && !o.redone:
			o.redone = true
			c.forgetTokens(cl, out.Status)
			c.tests(now, cl)
		default:
			c.endOp(now, cl, &StatusError{cl.Client, out.Status})
		}
	}
}

func (c *core) accepted(now time.Time, cl *client) {
	switch cl.op.kind {
	case opReclaim:
		c.reclaimAccepted(now, cl)
	case opClear:
		c.cleared(now, cl, nil)
	default:
		c.endOp(now, cl, nil)
	}
}

// overtaken: another replica has told the client in the meantime.
func (c *core) overtaken(now time.Time, cl *client, last uint16) {
	err := &SequenceError{cl.Client, last}
	if cl.op.kind == opClear {
		c.cleared(now, cl, err)
		return
	}
	c.disown(cl) // a binding that we thought we had is gone, too
	if cl.op.kind == opRefresh {
		c.log(slog.LevelWarn, "client is bound to another replica", "contact", cl.Home, "client", cl.Client, "last", last)
	}
	c.endOp(now, cl, err)
}

// disown forgets the binding but not the number.
func (c *core) disown(cl *client) {
	u, ok := c.list.Get(target(cl.pair))
	c.list.Forget(target(cl.pair))
	if ok {
		_ = c.list.Learn(target(cl.pair), u.Sequence) // there is room: it was there just now
	}
}

func expiredNonce(s mipv6.Status) bool {
	return s >= mipv6.StatusExpiredHomeNonce && s <= mipv6.StatusExpiredNonces
}

// forgetTokens drops what the correspondent no longer recognises (RFC 6275
// §11.7.3 asks for that part of return routability again).
func (c *core) forgetTokens(cl *client, s mipv6.Status) {
	if s != mipv6.StatusExpiredCareOfNonce {
		cl.home = rr.HomeToken{}
	}
	if s != mipv6.StatusExpiredHomeNonce {
		cl.careOf = rr.CareOfToken{}
	}
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
		err := fmt.Errorf("%v: %w", cl.op.waitsFor(), cause)
		if cl.op.kind == opClear {
			c.cleared(now, cl, err)
			return
		}
		c.endOp(now, cl, err)
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

// careOfTest is a Care-of Test from addr for any of our runs with it.
func (c *core) careOfTest(now time.Time, from netip.Addr, m *mipv6.CareOfTest) {
	for home := range c.contacts {
		cl := c.running[pair{Home: home, Client: from}]
		if cl == nil || !cl.op.run.CareOfTest(now, m) {
			continue
		}
		if cl.op.run.Done() {
			c.tested(now, cl)
		}
		return
	}
}

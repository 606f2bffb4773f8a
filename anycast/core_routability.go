package anycast

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/rr"
)

// tests begins return routability for the tokens that are missing.
func (c *core) tests(now time.Time, cl *client) {
	o := cl.op
	o.phase = phaseTests
	if !cl.home.Fresh(now) && now.Before(cl.refused) {
		c.endOp(now, cl, fmt.Errorf("%w (remembered)", ErrNoMobileIPv6))
		return
	}
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
	if o.kind == opPrepare {
		c.endOp(now, cl, nil)
		return
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

// careOfTest is a Care-of Test from addr for any of our runs with it; false if
// it is for none.
func (c *core) careOfTest(now time.Time, from netip.Addr, m *mipv6.CareOfTest) bool {
	for home := range c.contacts {
		cl := c.running[pair{Home: home, Client: from}]
		if cl == nil || !cl.op.run.CareOfTest(now, m) {
			continue
		}
		if cl.op.run.Done() {
			c.tested(now, cl)
		}
		return true
	}
	return false
}

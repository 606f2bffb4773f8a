package anycast

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/vanycast/vanycast/mipv6/bindings"
	"github.com/vanycast/vanycast/mipv6/rr"
)

// The thesis's verbs about one client (§3.2.3).

// bindParams are those of a Binding Update to a client of a contact address.
func (c *core) bindParams(contact netip.Addr) bindings.Params {
	p := bindings.Params{CareOf: c.cfg.careOf, Tries: updateTries}
	if ct := c.contacts[contact]; ct != nil { // else startOp says so
		p.Lifetime = ct.BindingLifetime
	}
	return p
}

// bind tells a client served here that it is (Address.Bind).
func (c *core) bind(now time.Time, id opID, p pair) {
	if cl := c.clients[p]; cl != nil && cl.op == nil {
		if u, ok := c.list.Get(target(p)); ok && u.State == bindings.Bound && now.Before(u.Refresh) {
			c.reply(id, opBind.String(), p, nil) // told, and not to be told again yet
			return
		}
	}
	params := c.bindParams(p.Home)
	params.Resyncs = 1
	c.startOp(now, p, &op{id: id, kind: opBind, params: params})
}

// mark stops what we ourselves would tell the client, and says where the
// acceptor goes on.
func (c *core) mark(now time.Time, p pair) (Mark, error) {
	cl, err := c.client(now, p)
	if err != nil {
		return Mark{}, &OpError{"mark", p.Home, p.Client, err}
	}
	if o := cl.op; o != nil {
		if o.kind >= opStart {
			return Mark{}, &OpError{"mark", p.Home, p.Client, fmt.Errorf("%w: %v", ErrBusy, o.kind)}
		}
		c.endOp(now, cl, ErrSuperseded)
	}
	u, ok := c.list.Get(target(p))
	if !ok {
		u.Sequence = c.firstSequence()
		if err := c.list.Learn(target(p), u.Sequence); err != nil {
			return Mark{}, &OpError{"mark", p.Home, p.Client, fmt.Errorf("%w: %w", ErrTableFull, err)}
		}
	}
	c.list.Suspend(target(p), now.Add(markHold))
	m := Mark{Sequence: u.Sequence, Bound: u.State == bindings.Bound}
	if cl.home.Fresh(now) {
		aged := cl.home.Aged(now)
		m.HomeToken = &aged
	}
	return m, nil
}

// start makes a client ours (Address.Start), and sends nothing from until on, if
// that is not zero.
func (c *core) start(now time.Time, id opID, p pair, donor netip.Addr, m Mark, until time.Time) {
	cl, err := c.client(now, p)
	if err != nil {
		c.reply(id, opStart.String(), p, fmt.Errorf("%w (%w)", err, ErrUntouched))
		return
	}
	c.learn(now, cl, m)
	first := m.Sequence + 1
	params := c.bindParams(p.Home)
	params.Sequence = &first
	if !m.Bound {
		// The donor told the client nothing: a number that the client does
		// remember is of a binding that is gone.
		params.Resyncs = 1
	}
	cl.owner = donor
	c.startOp(now, p, &op{id: id, kind: opStart, params: params, until: until})
}

// learn takes a mark's token, if it is younger than what we have.
func (c *core) learn(now time.Time, cl *client, m Mark) {
	if m.HomeToken == nil {
		return
	}
	if t := m.HomeToken.At(now); t.Fresh(now) && t.Received.After(cl.home.Received) {
		cl.home = t
	}
}

// handedOff forgets a client that is another's now (Address.Finish). The home
// keygen token stays: it is as good for the next handoff.
func (c *core) handedOff(now time.Time, p pair) {
	cl := c.clients[p]
	if cl == nil {
		return
	}
	c.endOp(now, cl, ErrSuperseded)
	c.list.Forget(target(p))
	cl.held, cl.guarded, cl.taken = false, time.Time{}, taken{}
	c.sync(cl)
	c.drop(now, cl)
}

// drop forgets a client of whom nothing is worth keeping.
func (c *core) drop(now time.Time, cl *client) {
	_, listed := c.list.Get(target(cl.pair))
	if !listed && c.idle(cl) && !cl.home.Fresh(now) && !now.Before(cl.refused) && !now.Before(cl.blocked) {
		delete(c.clients, cl.pair)
	}
}

// hold stops a client's traffic, or lets it go on.
func (c *core) hold(now time.Time, id opID, p pair, held bool) {
	name := "hold"
	if !held {
		name = "unhold"
	}
	cl := c.clients[p]
	if cl == nil && held {
		var err error
		if cl, err = c.client(now, p); err != nil {
			c.reply(id, name, p, err)
			return
		}
	}
	if cl != nil {
		cl.held = held
		c.syncFor(id, cl)
	}
	c.reply(id, name, p, nil)
}

// clear deletes the client's binding (Address.Clear).
func (c *core) clear(now time.Time, id opID, p pair) {
	cl := c.clients[p]
	if cl == nil || !c.bound(cl) && cl.op == nil {
		// The client was never told by us, or it has expired there too.
		if cl != nil {
			cl.held = false
			c.sync(cl)
			c.drop(now, cl)
		}
		c.reply(id, opClear.String(), p, nil)
		return
	}
	params := c.bindParams(p.Home)
	params.Lifetime = 0
	c.startOp(now, p, &op{id: id, kind: opClear, params: params})
}

// noMobility: the client said that it does not know what we sent.
func (c *core) noMobility(now time.Time, cl *client, what string) {
	cl.refused, cl.proven = now.Add(refusalMemory), false
	cl.home, cl.careOf = rr.HomeToken{}, rr.CareOfToken{}
	c.endOp(now, cl, fmt.Errorf("%w: ICMPv6 parameter problem for our %s", ErrNoMobileIPv6, what))
}

package anycast

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/vanycast/vanycast/mipv6/rr"
)

// Home tests: who needs a home keygen token of a client waits here, be it an
// operation of ours or, at the contact node, another replica. One test serves
// all. The contact node makes it itself; others ask the contact node.

// probe wants a home keygen token (Address.Probe).
func (c *core) probe(now time.Time, id opID, p pair) {
	c.homeTest(now, id, "probe", p, c.cfg.careOf)
}

// relayed is a home test that replica asker wants of us as the contact node.
func (c *core) relayed(now time.Time, id opID, asker netip.Addr, p pair) {
	ct := c.contacts[p.Home]
	if ct == nil || !ct.active {
		c.reply(id, "relay home test of", p, ErrNotContactNode)
		return
	}
	c.homeTest(now, id, "relay home test of", p, asker)
}

func (c *core) homeTest(now time.Time, id opID, name string, p pair, asker netip.Addr) {
	cl, err := c.client(now, p)
	if err != nil {
		c.reply(id, name, p, err)
		return
	}
	if asker != c.cfg.careOf {
		cl.owner = asker
	}
	c.ops[id] = &waiter{name: name, pair: p, asker: asker, isHome: true}
	c.wantHome(now, cl, homeWaiter{id: id, asker: asker})
}

// wantHome gets a home keygen token for the waiter: at once if there is a fresh
// one, or by a test.
func (c *core) wantHome(now time.Time, cl *client, w homeWaiter) {
	if cl.home.Fresh(now) {
		c.haveHome(now, cl, w)
		return
	}
	if now.Before(cl.refused) {
		c.noHome(now, cl, w, fmt.Errorf("%w (remembered)", ErrNoMobileIPv6))
		return
	}
	if len(cl.waiters) >= maxWaiters {
		c.noHome(now, cl, w, fmt.Errorf("%w: %d wait for the same already", ErrNoHomeTest, maxWaiters))
		return
	}
	ct := c.contacts[cl.Home]
	if ct.active {
		sends, err := c.relay.Ask(now, w.asker, cl.pair)
		if err != nil {
			c.noHome(now, cl, w, fmt.Errorf("%w: %w", ErrNoHomeTest, err))
			return
		}
		w.relayed = true
		cl.waiters = append(cl.waiters, w)
		c.sendTests(sends)
		return
	}
	nodes := c.helpers(ct)
	if len(nodes) == 0 {
		c.noHome(now, cl, w, fmt.Errorf("%w: no other contact node is known", ErrNoHomeTest))
		return
	}
	cl.waiters = append(cl.waiters, w)
	if !cl.asking {
		cl.asking = true
		c.do(askAction{cl.pair, nodes})
	}
}

// helpers are the replicas that may make a home test for us: the contact node,
// then those that may have become it.
func (c *core) helpers(ct *contact) []netip.Addr {
	var nodes []netip.Addr
	add := func(a netip.Addr) {
		if !a.IsValid() || a == c.cfg.careOf {
			return
		}
		for _, n := range nodes {
			if n == a {
				return
			}
		}
		nodes = append(nodes, a)
	}
	add(ct.contactNode)
	for _, a := range ct.ContactNodes {
		add(a)
	}
	return nodes
}

func (c *core) sendTests(sends []rr.Send) {
	for _, s := range sends {
		c.do(sendAction{src: s.Src, dst: s.Dst, message: s.Message})
	}
}

// homeToken is the answer to an askAction: from replica node, a token or why not.
func (c *core) homeToken(now time.Time, p pair, node netip.Addr, t rr.HomeToken, err error) {
	cl := c.clients[p]
	if cl == nil || !cl.asking {
		return
	}
	cl.asking = false
	if ct := c.contacts[p.Home]; ct != nil && node.IsValid() && !ct.active && ct.contactNode != node {
		c.log(slog.LevelInfo, "contact node found", "contact", p.Home, "node", node)
		ct.contactNode = node
	}
	c.homeTestEnded(now, cl, t, err)
}

// silence is what it means that the client answered no test.
func (cl *client) silence(now time.Time, err error) error {
	if cl.proven {
		return fmt.Errorf("%w: %w", ErrTimeout, err)
	}
	cl.refused = now.Add(silenceMemory)
	return fmt.Errorf("%w: %w", errSilent, err)
}

// homeTestEnded gives the outcome to all who wait.
func (c *core) homeTestEnded(now time.Time, cl *client, t rr.HomeToken, err error) {
	waiters := cl.waiters
	cl.waiters = nil
	if err == nil {
		cl.home, cl.refused, cl.proven = t, time.Time{}, true
	} else {
		switch {
		case errors.Is(err, errSilent):
			cl.refused = now.Add(silenceMemory)
		case errors.Is(err, ErrNoMobileIPv6):
			cl.refused = now.Add(refusalMemory)
		}
	}
	for _, w := range waiters {
		if err != nil {
			c.noHome(now, cl, w, err)
		} else {
			c.haveHome(now, cl, w)
		}
	}
}

func (c *core) haveHome(now time.Time, cl *client, w homeWaiter) {
	if w.id != 0 {
		c.finishToken(w.id, cl.home, nil)
		return
	}
	c.opHome(now, cl)
}

func (c *core) noHome(now time.Time, cl *client, w homeWaiter, err error) {
	if w.id != 0 {
		c.finish(w.id, err)
		return
	}
	c.endOp(now, cl, err)
}

// unwantHome takes back what wantHome began for the waiter.
func (c *core) unwantHome(cl *client, id opID) {
	for i, w := range cl.waiters {
		if w.id != id {
			continue
		}
		cl.waiters = append(cl.waiters[:i:i], cl.waiters[i+1:]...)
		if w.relayed {
			c.relay.Cancel(w.asker, cl.pair)
		}
		return
	}
}

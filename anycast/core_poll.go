package anycast

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/vanycast/vanycast/mipv6/bindings"
)

// poll does what is due.
func (c *core) poll(now time.Time) {
	sends, ended, err := c.relay.Poll(now)
	if err != nil {
		c.log(slog.LevelError, "home tests not sent", "err", err)
	}
	c.sendTests(sends)
	for _, e := range ended {
		c.relayEnded(now, e)
	}
	for _, cl := range c.dueRuns(now) {
		c.pollRun(now, cl)
	}
	c.forgetPrepared(now)
	c.unguard(now)
	for _, ct := range c.contacts {
		if !ct.retry.IsZero() && !now.Before(ct.retry) {
			c.refreshHome(now, ct)
		}
	}
	c.pollList(now)
}

// dueRuns are the clients whose run of return routability has something to do.
func (c *core) dueRuns(now time.Time) []*client {
	var due []*client
	for _, cl := range c.running {
		if at, ok := cl.op.run.Next(); ok && !now.Before(at) {
			due = append(due, cl)
		}
	}
	sortClients(due)
	return due
}

func (c *core) pollRun(now time.Time, cl *client) {
	if cl.op == nil || cl.op.run == nil || cl.op.phase != phaseTests {
		return
	}
	sends, err := cl.op.run.Poll(now)
	if err == nil {
		if err = cl.op.run.Err(); err != nil {
			err = cl.silence(now, err)
		}
	}
	if err != nil {
		c.endOp(now, cl, err)
		return
	}
	c.sendTests(sends)
}

// pollList does what the binding update list finds due.
func (c *core) pollList(now time.Time) {
	for _, a := range c.list.Poll(now) {
		if ct := c.contacts[a.Target.Home]; ct != nil && ct.HomeAgent == a.Target.Peer {
			c.homeAction(now, ct, a)
			continue
		}
		if cl := c.clients[pair{Home: a.Target.Home, Client: a.Target.Peer}]; cl != nil {
			c.clientAction(now, cl, a)
		}
	}
}

func (c *core) homeAction(now time.Time, ct *contact, a bindings.Action) {
	switch a.Kind {
	case bindings.Transmit:
		c.transmitHome(ct, a)
	case bindings.GaveUp:
		c.registered(now, ct, fmt.Errorf("%w from home agent %v", ErrTimeout, ct.HomeAgent))
	case bindings.RefreshDue:
		c.refreshHome(now, ct)
	case bindings.Lapsed:
		c.log(slog.LevelError, "home registration expired", "contact", ct.Address, "home_agent", ct.HomeAgent)
		if u, ok := c.list.Get(ct.target()); !ok || !u.Outstanding {
			c.refreshHome(now, ct)
		}
	}
}

func (c *core) clientAction(now time.Time, cl *client, a bindings.Action) {
	switch a.Kind {
	case bindings.Transmit:
		if !c.overdue(now, cl) {
			c.transmit(cl, a)
		}
	case bindings.GaveUp:
		c.endOp(now, cl, fmt.Errorf("%w to binding updates", ErrTimeout))
	case bindings.RefreshDue:
		c.do(useAction{cl.pair})
	case bindings.Lapsed:
		c.log(slog.LevelDebug, "binding expired", "contact", cl.Home, "client", cl.Client)
		c.sync(cl)
		c.drop(now, cl)
	}
}

// next is when poll has something to do; false if nothing is waited for.
func (c *core) next() (time.Time, bool) {
	var first time.Time
	earlier := func(at time.Time, ok bool) {
		if ok && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	earlier(c.list.Next())
	earlier(c.relay.Next())
	for _, cl := range c.running {
		earlier(cl.op.run.Next())
	}
	if len(c.guards) > 0 {
		earlier(c.guards[0].until, true)
	}
	if len(c.forgetting) > 0 {
		earlier(c.forgetting[0].at, true)
	}
	for _, ct := range c.contacts {
		earlier(ct.retry, !ct.retry.IsZero())
	}
	return first, !first.IsZero()
}

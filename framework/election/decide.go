package election

import (
	"errors"
	"log/slog"
	"net/netip"
	"time"

	"github.com/vanycast/vanycast/anycast"
	"github.com/vanycast/vanycast/mipv6/bindings"
)

// decide draws the conclusions from what is known.
func (c *core) decide(now time.Time) {
	if !c.settled {
		c.settled = now.Sub(c.began) >= c.t.Silence || c.everybodyKnown()
	}
	switch {
	case c.busy || !c.settled || c.rank < 0:
	case c.active:
		if c.doubt || !now.Before(c.confirm) && !c.leaving && c.missing() && !c.alone() {
			c.doubt, c.busy = false, true
			c.do(confirmAction{})
		}
	case now.Before(c.hold) || now.Before(c.unable) || c.leaving:
	case c.ours(now):
		c.busy = true
		c.do(succeedAction{c.epoch, c.known})
	}
	if v := c.view(now); c.active && (v.Leaving != c.told.Leaving || v.Yield != c.told.Yield) {
		c.told = v
		c.pingAll(now)
	}
}

// everybodyKnown: of each candidate, and of each replica, it is known whether it is
// there.
func (c *core) everybodyKnown() bool {
	for _, m := range c.members {
		if !m.up && (!m.tried || m.rank >= 0 && m.refusing.IsZero()) {
			return false
		}
	}
	return true
}

// missing: a candidate that is not there may believe that we are not.
func (c *core) missing() bool {
	for _, m := range c.members {
		if m.rank >= 0 && !m.up {
			return true
		}
	}
	return false
}

// alone: of several others none is there. Then rather we are cut off than all of
// them, and who is it does not fight for the role.
func (c *core) alone() bool {
	for _, m := range c.members {
		if m.up {
			return false
		}
	}
	return len(c.members) > 1
}

// ours: the role is ours to take.
func (c *core) ours(now time.Time) bool {
	m := c.member(c.node)
	switch {
	case m == nil:
		return c.best(now)
	case !m.up && c.alone() && now.Sub(c.asked) < c.t.Confirm():
		return false // if it is we who are cut off, the home agent hears from it till then
	case !m.up:
		return c.answered(now) && !c.seen() && c.best(now)
	case m.view.Active && m.view.Yield == c.cfg.Self:
		return true
	case m.view.Active && m.usable():
		return false
	case m.view.Active: // it leaves, or has lost the home agent
		return c.best(now)
	}
	return !m.idle.IsZero() && now.Sub(m.idle) >= c.t.Refusing && c.best(now)
}

// best: no better candidate is usable.
func (c *core) best(now time.Time) bool {
	for _, m := range c.members {
		if m.usable() && m.rank < c.rank {
			return false
		}
	}
	return true
}

// seen: another replica is in touch with the contact node that we have lost.
func (c *core) seen() bool {
	for _, m := range c.members {
		if m.up && m.view.Sees && m.view.Node == c.node {
			return true
		}
	}
	return false
}

// answered: whoever was asked about the lost contact node has had time to answer.
func (c *core) answered(now time.Time) bool {
	if now.Sub(c.asked) >= c.t.Refusing {
		return true
	}
	for _, m := range c.members {
		if m.pinged {
			return false
		}
	}
	return true
}

// nodeLives: the contact node is somebody else, there, and says so itself.
func (c *core) nodeLives() bool {
	m := c.member(c.node)
	return m != nil && m.up && m.view.Active
}

// yieldTo is the better candidate that has been there for long enough.
func (c *core) yieldTo(now time.Time) (to netip.Addr) {
	best := c.rank
	for _, m := range c.members {
		if m.usable() && (best < 0 || m.rank < best) && now.Sub(m.since) >= m.patience(now, c.t) {
			to, best = m.addr, m.rank
		}
	}
	return to
}

// standing is what the address itself knows: it has registered or refreshed, or
// learnt that it was overtaken.
func (c *core) standing(now time.Time, s anycast.Standing) {
	epoch, was := c.epoch, c.active
	if s.Known && (!c.known || s.Self || bindings.After(s.Epoch, c.epoch)) {
		c.epoch, c.known = s.Epoch, true
		if s.Node.IsValid() {
			c.node = s.Node
		}
	}
	c.active = s.Self
	switch {
	case c.active && !was:
		c.node, c.doubt, c.beaten, c.hold, c.unable = c.cfg.Self, false, false, time.Time{}, time.Time{}
		c.confirm = now.Add(c.t.Confirm())
		c.log(slog.LevelInfo, "this replica is contact node", "epoch", c.epoch, "rank", c.rank)
		c.told = c.view(now)
		c.pingAll(now)
	case c.active && epoch != c.epoch:
		for _, m := range c.members {
			if m.rank >= 0 { // the others hear it when they ask
				c.ping(now, m)
			}
		}
	case was && !c.active:
		if c.node = s.Node; c.node == c.cfg.Self {
			c.node = netip.Addr{}
		}
		c.doubt = false
		if m := c.member(c.node); m == nil || !m.up {
			c.hold = now.Add(c.t.Retry()) // whoever it is lives, though we do not see him
		}
		c.log(slog.LevelInfo, "this replica is contact node no more", "node", c.node, "epoch", c.epoch)
		c.pingAll(now)
	}
	if m := c.member(c.node); m != nil && s.Node == c.node && epoch != c.epoch {
		// It has announced itself; what it said before is old.
		m.view = View{Epoch: c.epoch, Known: true, Node: c.node, Active: true}
		m.idle = time.Time{}
	}
	c.decide(now)
}

// registered is the outcome of a succeedAction or confirmAction, after standing was
// told what it has led to.
func (c *core) registered(now time.Time, err error) {
	c.busy = false
	c.confirm = now.Add(c.t.Confirm())
	var overtaken *anycast.SequenceError
	switch {
	case err == nil:
		c.unable = time.Time{}
	case errors.As(err, &overtaken):
		if !c.known || bindings.After(overtaken.Last, c.epoch) {
			c.epoch, c.known = overtaken.Last, true
			if c.node == c.cfg.Self || !c.nodeLives() {
				c.node = netip.Addr{} // somebody; he will say so
			}
		}
		c.hold = now.Add(c.t.Retry())
		level := slog.LevelInfo
		if c.beaten {
			level = slog.LevelDebug // nothing new
		}
		c.beaten = true
		c.log(level, "another replica has registered the contact address", "last", overtaken.Last, "retry_in", c.t.Retry())
		c.pingAll(now)
	case errors.Is(err, anycast.ErrBusy), errors.Is(err, anycast.ErrNotContactNode):
		// The refresh under way asks the same; or standing knows better.
	default:
		c.unable = now.Add(c.t.Confirm())
		c.log(slog.LevelError, "not registered at the home agent", "err", err, "retry_in", c.t.Confirm())
	}
	c.decide(now)
}

// leave: this replica is about to end. It reports whether somebody is there to take
// the role over.
func (c *core) leave(now time.Time) bool {
	c.leaving = true
	c.decide(now)
	if !c.active {
		return false
	}
	for _, m := range c.members {
		if m.usable() {
			return true
		}
	}
	return false
}

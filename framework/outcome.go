package framework

import (
	"context"
	"errors"
	"time"

	"github.com/vanycast/vanycast/handoff"
	"github.com/vanycast/vanycast/tcpcp"
)

// moved: a handoff ended.
func (c *core) moved(now time.Time, k key, err error) {
	cl := c.clients[k]
	if cl == nil || cl.phase != phaseMoving {
		return
	}
	p := cl.place
	if err == nil || errors.Is(err, handoff.ErrGone) {
		if err == nil {
			c.group.took(p.target)
			c.note(now, EventHandedOff, cl, p.target, nil)
		} else {
			c.note(now, EventFailed, cl, p.target, err)
			err = &HandoffError{cl.remote, p.target, err}
		}
		if p.why == asked && !p.answered {
			c.do(answer{k, err})
		}
		if p.why == connected {
			c.do(placed{k})
		}
		c.reported(cl, err)
		c.drop(cl)
		c.left(cl)
		return
	}
	if errors.Is(err, handoff.ErrNoMobileIPv6) && !cl.immobile && !p.canceled && c.relays() {
		// The target found it out. It will have the connection relayed.
		cl.mobile, cl.immobile = false, true
		c.do(immobile{cl.remote.Addr()})
		c.do(move{k, p.target})
		return
	}
	c.note(now, EventFailed, cl, p.target, err)
	if p.canceled || !targetFault(err) {
		cl.immobile = errors.Is(err, handoff.ErrNoMobileIPv6)
		c.stay(now, cl, err)
		return
	}
	c.group.failure(now, p.target, err)
	if replicaFault(err) {
		c.note(now, EventReplicaOut, nil, p.target, err)
	}
	policy, _, _ := c.settings()
	c.do(replicaFailed{policy, p.target, err})
	p.excluded[p.target] = true
	p.err = err
	p.tries++
	c.distribute(now, cl)
}

// left notes that a connection is here no more; was it its client's last?
func (c *core) left(cl *client) {
	if !cl.immobile && c.relays() && c.live.of(cl.remote.Addr()) == 0 {
		c.do(vacated{cl.remote.Addr()})
	}
}

// shared tells whether another connection of the client's address is served here
// that a new binding would move along: not so where the client has no Mobile IPv6,
// and each connection is relayed by itself in any case.
func (c *core) shared(cl *client) bool {
	if cl.immobile || !c.live.Others(cl.local, cl.remote) {
		return false
	}
	for _, other := range c.clients {
		if other.immobile && other.remote.Addr() == cl.remote.Addr() {
			return false
		}
	}
	return true
}

// tied tells whether a connection has to stay with another of its client: one of
// several is moved by relaying it, which not every host can.
func (c *core) tied(cl *client) bool { return c.shared(cl) && !c.relays() }

// accompanied tells whether a connection that comes stays with another of its
// client, which spares it the detour. Where the home test will tell whether the
// client has Mobile IPv6, that is decided then.
func (c *core) accompanied(cl *client) bool {
	return c.shared(cl) && (cl.mobile || !c.contact() || !c.relays())
}

// targetFault tells whether another target may do better: not where the client,
// its connection or this host is the reason.
func targetFault(err error) bool {
	var here *tcpcp.Error // the target's own come as a refusal
	if errors.As(err, &here) {
		return false
	}
	for _, ours := range []error{handoff.ErrNoMobileIPv6, handoff.ErrBusy, handoff.ErrNoContact, handoff.ErrClosed, context.Canceled} {
		if errors.Is(err, ours) {
			return false
		}
	}
	return true
}

// exhausted: there is no other target.
func (c *core) exhausted(now time.Time, cl *client) {
	err := cl.place.err
	if err == nil {
		err = ErrNoTarget
	}
	c.stay(now, cl, err)
}

// stay: the client cannot go anywhere.
func (c *core) stay(now time.Time, cl *client, err error) {
	p := cl.place
	c.reported(cl, &HandoffError{cl.remote, p.target, err})
	switch {
	case p.why == connected:
		c.here(now, cl)
	case c.stopping && p.why == asked && !p.answered:
		c.do(answer{cl.key, &HandoffError{cl.remote, p.target, err}})
		c.turnAway(cl)
	case c.stopping:
		c.turnAway(cl)
	case p.why == overdue && c.credits.Len() > 0: // the application woke up meanwhile
		c.enqueue(now, cl)
	case p.why == overdue:
		c.turnAway(cl)
	case p.why == commanded:
		c.enqueueFirst(now, cl)
	case p.answered: // asked without waiting: back through Accept
		cl.handedOff, cl.from = true, c.cfg.Self
		cl.failed, cl.failedErr = p.target, &HandoffError{cl.remote, p.target, err}
		c.enqueue(now, cl)
	default:
		cl.phase, cl.place = phaseHeld, nil
		c.do(answer{cl.key, &HandoffError{cl.remote, p.target, err}})
	}
}

// here: a client that connected is the local application's, if it has room.
func (c *core) here(now time.Time, cl *client) {
	if c.full() && c.credits.Len() == 0 {
		c.do(placed{cl.key})
		c.turnAway(cl)
		return
	}
	c.enqueue(now, cl)
}

package framework

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"time"

	"github.com/vanycast/vanycast/handoff"
)

// accepted: a client connected here. One whose program runs on this host can
// only be served here: the contact address is on the host, whatever a binding
// says.
func (c *core) accepted(now time.Time, id uint64, local, remote netip.AddrPort, sameHost bool) key {
	return c.born(now, id, local, remote, sameHost, bornAnywhere)
}

// born is accepted, of a connection whose replica may have been decided at its SYN.
// Such a one goes elsewhere only if there is no room for it here.
func (c *core) born(now time.Time, id uint64, local, remote netip.AddrPort, sameHost bool, how birth) key {
	if c.decided.take(now, remote) {
		how = bornHere
	}
	cl := c.add(now, id, local, remote)
	cl.immobile = sameHost
	cl.place = &placement{why: connected, excluded: make(map[netip.Addr]bool)}
	c.note(now, EventAccepted, cl, netip.Addr{}, nil)
	_, _, contactOnly := c.settings()
	if how == bornHere && (!c.full() || c.credits.Len() > 0) || c.stopping || sameHost || contactOnly && !c.contact() || c.accompanied(cl) {
		c.here(now, cl)
	} else {
		c.distribute(now, cl)
	}
	return cl.key
}

// handoffAsked: the application wants to be rid of a client; an invalid target
// leaves the choice to the policy. An error here is the answer; nil means that
// answer follows.
func (c *core) handoffAsked(now time.Time, id socketID, k key, target netip.Addr, nonblocking bool) error {
	cl := c.held(id, k)
	switch {
	case cl == nil:
		return ErrUnknownClient
	case target.IsValid() && !c.group.knows(target):
		return &HandoffError{cl.remote, target, ErrUnknownReplica}
	case cl.finished:
		return &HandoffError{cl.remote, target, ErrFinished}
	}
	cl.failed, cl.failedErr = netip.Addr{}, nil
	cl.place = &placement{why: asked, explicit: target, nonblocking: nonblocking, excluded: make(map[netip.Addr]bool)}
	c.distribute(now, cl)
	return nil
}

// handoffCanceled: the application does not want to wait any more. It gets its
// answer all the same, soon.
func (c *core) handoffCanceled(k key) {
	if cl := c.clients[k]; cl != nil && cl.place != nil && cl.place.why == asked && !cl.place.answered {
		cl.place.canceled = true
		c.do(cancelWork{k})
	}
}

// distribute looks for the next target.
func (c *core) distribute(now time.Time, cl *client) {
	p := cl.place
	switch {
	case p.tries >= maxTries || p.explicit.IsValid() && p.tries > 0:
		c.exhausted(now, cl)
	case p.explicit.IsValid():
		c.chosen(now, cl, p.explicit)
	default:
		cl.phase = phaseSelecting
		policy, neverSelf, _ := c.settings()
		c.do(askPolicy{cl.key, policy, View{
			Client: cl.remote, Self: c.cfg.Self, Listening: len(c.sockets) > 0, NeverSelf: neverSelf, Replicas: c.group.available(now),
		}, maps.Clone(p.excluded)})
	}
}

// selected: the policy gave its answer.
func (c *core) selected(now time.Time, k key, target netip.Addr, ok bool) {
	cl := c.clients[k]
	switch {
	case cl == nil || cl.phase != phaseSelecting:
	case cl.place.canceled:
		c.stay(now, cl, context.Canceled)
	case !ok || cl.place.excluded[target]:
		c.exhausted(now, cl)
	default:
		c.chosen(now, cl, target)
	}
}

// chosen: this is the target.
func (c *core) chosen(now time.Time, cl *client, target netip.Addr) {
	p := cl.place
	if target == c.cfg.Self {
		c.chosenSelf(now, cl)
		return
	}
	p.target = target
	if (p.why == asked || p.why == commanded) && c.tied(cl) {
		c.stay(now, cl, ErrShared)
		return
	}
	alone := p.why != connected && c.shared(cl) // relayed: its client is told nothing
	if cl.immobile && !c.relays() {
		c.stay(now, cl, handoff.ErrNoMobileIPv6)
		return
	}
	if p.nonblocking && !p.answered {
		p.answered, cl.owner = true, 0
		c.do(answer{cl.key, nil})
	}
	// The home test is done while the client is still served, also of a client
	// that had no Mobile IPv6: what is known of that is forgotten after a while.
	// Elsewhere than at the contact node a client comes by its binding, so it has
	// Mobile IPv6, or is relayed.
	if !cl.mobile && !cl.relayed && !alone && c.contact() {
		cl.phase = phaseProbing
		c.do(probe{cl.key})
		return
	}
	cl.phase = phaseMoving
	c.do(move{cl.key, target})
}

// chosenSelf: the target is the local application.
func (c *core) chosenSelf(now time.Time, cl *client) {
	p := cl.place
	_, neverSelf, _ := c.settings()
	switch {
	case p.why == overdue: // it is this application that did not take it
		c.exhausted(now, cl)
	case p.why == connected:
		c.here(now, cl)
	case neverSelf && !p.explicit.IsValid(): // the policy's last resort
		c.exhausted(now, cl)
	default:
		if !p.answered {
			p.answered = true
			c.do(answer{cl.key, nil})
		}
		cl.handedOff, cl.from = true, c.cfg.Self
		c.note(now, EventRequeued, cl, c.cfg.Self, nil)
		c.enqueue(now, cl)
	}
}

// bindEnded: the client's route was optimised, or not.
func (c *core) bindEnded(k key, err error) {
	switch cl := c.clients[k]; {
	case cl == nil:
	case err == nil:
		c.goesStraight(cl)
	case errors.Is(err, handoff.ErrNoMobileIPv6):
		cl.immobile = true
	}
}

// probed: the home test ended.
func (c *core) probed(now time.Time, k key, err error) {
	cl := c.clients[k]
	switch {
	case cl == nil || cl.phase != phaseProbing:
	case err == nil && cl.place.canceled:
		c.stay(now, cl, context.Canceled)
	case err == nil && c.shared(cl) && (cl.place.why == connected || !c.relays()):
		cl.mobile = true
		c.stay(now, cl, ErrShared)
	case err == nil:
		cl.mobile, cl.phase = true, phaseMoving
		c.do(move{k, cl.place.target})
	default:
		cl.immobile = errors.Is(err, handoff.ErrNoMobileIPv6)
		if cl.immobile && c.relays() && !cl.place.canceled {
			cl.phase = phaseMoving
			c.do(move{k, cl.place.target})
			return
		}
		c.stay(now, cl, err)
	}
}

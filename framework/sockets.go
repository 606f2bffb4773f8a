package framework

import (
	"maps"
	"net/netip"
	"slices"
	"time"
)

// socket is a server socket: an application that listens.
type socket struct {
	id   socketID
	opts ListenOptions
}

// ListenOptions is what an application may set differently from the
// configuration, for as long as it listens; of several applications the last
// one that said something of it. Nil and empty leave it as it is.
type ListenOptions struct {
	Policy      string
	NeverSelf   *bool
	ContactOnly *bool
	// HandoffRequests: the application wants to be asked when an operator hands a
	// client of its off; else that is refused.
	HandoffRequests bool
}

// settings are the options in force.
func (c *core) settings() (policy string, neverSelf, contactOnly bool) {
	policy, neverSelf, contactOnly = c.cfg.Policy, c.cfg.NeverSelf, c.cfg.ContactOnly
	for _, s := range c.sockets {
		if s.opts.Policy != "" {
			policy = s.opts.Policy
		}
		if s.opts.NeverSelf != nil {
			neverSelf = *s.opts.NeverSelf
		}
		if s.opts.ContactOnly != nil {
			contactOnly = *s.opts.ContactOnly
		}
	}
	return policy, neverSelf, contactOnly
}

// opened: an application listens.
func (c *core) opened(o ListenOptions) socketID {
	c.lastSocket++
	c.sockets = append(c.sockets, &socket{c.lastSocket, o})
	return c.lastSocket
}

// isOpen tells whether a server socket takes clients.
func (c *core) isOpen(id socketID) bool {
	return slices.ContainsFunc(c.sockets, func(s *socket) bool { return s.id == id })
}

// socketClosed: an application takes no more clients; those it has it keeps.
func (c *core) socketClosed(id socketID) {
	c.sockets = slices.DeleteFunc(c.sockets, func(s *socket) bool { return s.id == id })
	for e := c.credits.Front(); e != nil; {
		next := e.Next()
		if e.Value.(socketID) == id {
			c.credits.Remove(e)
		}
		e = next
	}
}

// abandoned: an application is gone. Its clients are closed; one that is being
// handed off goes, if that fails, to whoever else listens: its state is known.
func (c *core) abandoned(id socketID) {
	c.socketClosed(id)
	for _, k := range c.keys() {
		cl := c.clients[k]
		if cl.owner != id {
			continue
		}
		switch cl.phase {
		case phaseHeld:
			cl.clear = c.cfg.ClearOnClose
			c.close(cl, false)
		case phaseSelecting, phaseProbing, phaseMoving:
			cl.place.nonblocking, cl.owner = true, 0
			if !cl.place.answered {
				cl.place.answered = true
				c.do(answer{cl.key, nil})
			}
		}
	}
}

// closeAsked: the application closed a client. clear overrides ClearOnClose.
func (c *core) closeAsked(id socketID, k key, abort bool, clear *bool) error {
	cl := c.held(id, k)
	if cl == nil {
		return ErrUnknownClient
	}
	cl.clear = c.cfg.ClearOnClose
	if clear != nil {
		cl.clear = *clear
	}
	c.close(cl, abort)
	return nil
}

// returned: the application gives a client back that it never saw.
func (c *core) returned(now time.Time, id socketID, k key) {
	if cl := c.held(id, k); cl != nil {
		c.enqueueFirst(now, cl)
	}
}

// adopted: the application gives a connection of the contact address that it
// made itself (thesis §4.2.5, GeckoSocket::Bind).
func (c *core) adopted(now time.Time, id socketID, clientID uint64, local, remote netip.AddrPort) (key, error) {
	for _, cl := range c.clients {
		if cl.remote == remote && cl.local == local {
			return 0, ErrNotAdoptable
		}
	}
	cl := c.add(now, clientID, local, remote)
	cl.phase, cl.owner, cl.bound = phaseHeld, id, true
	c.note(now, EventDelivered, cl, netip.Addr{}, nil)
	c.do(bind{cl.key})
	return cl.key, nil
}

// held gives a client that the application has.
func (c *core) held(id socketID, k key) *client {
	if cl := c.clients[k]; cl != nil && cl.phase == phaseHeld && cl.owner == id {
		return cl
	}
	return nil
}

// keys lists the clients in the order of their coming, so that the order of
// actions does not depend on the map's.
func (c *core) keys() []key { return slices.Sorted(maps.Keys(c.clients)) }

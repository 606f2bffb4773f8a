package framework

import (
	"container/list"
	"net/netip"
	"time"

	"github.com/vanycast/vanycast/handoff"
)

// core decides everything for one service. It has no I/O, no clock and no
// goroutine: a method is an event, now its time; what is to be done is gathered
// and fetched with take. It is for one goroutine only.
type core struct {
	cfg     Config
	contact func() bool // does this replica hold the contact address now
	relays  func() bool // can a client without Mobile IPv6 be handed off from here
	group   *group

	lastKey    key
	lastSocket socketID
	clients    map[key]*client
	live       *Live // connections that are not closing

	queue   *list.List // of *client: those that wait for an application
	credits *list.List // of socketID: Accepts that wait for a client
	sockets []*socket  // in the order of their opening

	reserved map[netip.AddrPort]time.Time // admitted, not yet arrived: until when
	progress map[key]*progress            // connections that have begun to go straight
	decided  decided                      // for this replica, not yet accepted

	stopping bool // every client is closed as soon as it can be

	actions []action
}

// newCore makes the core of a service. The configuration is complete.
func newCore(cfg Config, contact, relays func() bool, live *Live) *core {
	return &core{
		cfg: cfg, contact: contact, relays: relays,
		group:   newGroup(cfg.Self, cfg.Replicas, cfg.ExcludeFor),
		clients: make(map[key]*client), live: live,
		queue: list.New(), credits: list.New(),
		reserved: make(map[netip.AddrPort]time.Time), progress: make(map[key]*progress),
	}
}

// take returns the actions that the events since the last take asked for.
func (c *core) take() []action {
	a := c.actions
	c.actions = nil
	return a
}

func (c *core) do(a action) { c.actions = append(c.actions, a) }

func (c *core) note(now time.Time, kind EventKind, cl *client, target netip.Addr, err error) {
	e := Event{Time: now, Kind: kind, Service: c.cfg.Service, Target: target, Err: err}
	if cl != nil {
		e.ID, e.Client = cl.id, cl.remote
	}
	c.do(observe{e})
}

// add makes a client known.
func (c *core) add(now time.Time, id uint64, local, remote netip.AddrPort) *client {
	c.lastKey++
	cl := &client{key: c.lastKey, id: id, local: local, remote: remote, since: now}
	c.clients[cl.key] = cl
	c.live.add(cl.ends())
	return cl
}

// unlive counts a client as no more connected.
func (c *core) unlive(cl *client) {
	c.live.remove(cl.ends())
}

// drop forgets a client that is elsewhere or gone.
func (c *core) drop(cl *client) {
	c.unlive(cl)
	delete(c.clients, cl.key)
	c.do(forget{cl.key})
}

// close begins to close a client's connection.
func (c *core) close(cl *client, abort bool) {
	if cl.phase == phaseClosing {
		return
	}
	if cl.entry != nil {
		c.queue.Remove(cl.entry)
		cl.entry = nil
	}
	c.reported(cl, &HandoffError{cl.remote, netip.Addr{}, ErrFinished})
	cl.phase, cl.place = phaseClosing, nil
	c.unlive(cl)
	if !abort && !cl.immobile && c.relays() {
		c.do(ended{cl.ends(), c.live.of(cl.remote.Addr()) > 0})
	}
	c.do(closeConn{cl.key, abort})
}

// closed: a client's connection is closed.
func (c *core) closed(now time.Time, k key) {
	cl := c.clients[k]
	if cl == nil || cl.phase != phaseClosing {
		return
	}
	delete(c.clients, k)
	c.do(forget{k})
	c.note(now, EventClosed, cl, netip.Addr{}, nil)
	if cl.clear && !cl.immobile && c.live.of(cl.remote.Addr()) == 0 {
		c.do(clearBinding{cl.remote.Addr()})
	} else {
		c.left(cl)
	}
}

// turnAway closes a client that nobody takes. Where this is not the contact
// node its binding goes too, else it would come back here (thesis §4.2.3).
func (c *core) turnAway(cl *client) {
	cl.clear = c.cfg.ClearOnClose || !c.contact()
	c.close(cl, false)
}

// finished: both directions of a connection are over, or it was reset. An
// application finds out by itself.
func (c *core) finished(k key) {
	cl := c.clients[k]
	if cl == nil {
		return
	}
	cl.finished = true
	if cl.phase == phaseQueued {
		cl.clear = c.cfg.ClearOnClose
		c.close(cl, false)
	}
}

// shutdown closes all clients; those that are being handed off are when the
// handoff ends without success.
func (c *core) shutdown() {
	c.stopping = true
	for _, k := range c.keys() {
		cl := c.clients[k]
		cl.clear = c.cfg.ClearOnClose
		switch cl.phase {
		case phaseMoving, phaseProbing, phaseSelecting:
			cl.place.canceled = true
			c.do(cancelWork{k})
		default:
			c.close(cl, false)
		}
	}
	c.sockets = nil
	c.credits.Init()
}

// admit says whether a client that a peer offers can be taken, and keeps a place
// for it. The error is a *handoff.RefusedError.
func (c *core) admit(now time.Time, o handoff.Offer) error {
	refuse := func(r handoff.Reason) error { return &handoff.RefusedError{Reason: r} }
	if c.stopping {
		return refuse(handoff.ReasonDraining)
	}
	if o.Service != c.cfg.Service || o.Contact.Addr() != c.cfg.Contact.Addr() {
		return refuse(handoff.ReasonNoService)
	}
	if len(c.sockets) == 0 {
		return refuse(handoff.ReasonNoApplication)
	}
	full := func() bool { return c.queue.Len()+len(c.reserved) >= c.cfg.Backlog+c.credits.Len() }
	if _, again := c.reserved[o.Client]; !again && full() {
		for a, until := range c.reserved {
			if !now.Before(until) {
				delete(c.reserved, a)
			}
		}
		if full() {
			return refuse(handoff.ReasonQueueFull)
		}
	}
	c.reserved[o.Client] = now.Add(reserveFor)
	return nil
}

// arrived: a client was handed off to this replica.
func (c *core) arrived(now time.Time, h *handoff.Client) key {
	delete(c.reserved, h.Remote)
	cl := c.add(now, h.ID, h.Local, h.Remote)
	cl.handedOff, cl.from = true, h.From
	cl.mobile, cl.immobile, cl.relayed, cl.bound = !h.Relayed, h.Immobile, h.Relayed, true
	c.note(now, EventArrived, cl, h.From, nil)
	c.goesStraight(cl)
	c.enqueue(now, cl)
	return cl.key
}

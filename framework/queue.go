package framework

import (
	"net/netip"
	"time"
)

// enqueue lets a client wait for an application.
func (c *core) enqueue(now time.Time, cl *client) {
	c.wait(cl)
	if c.stopping {
		c.turnAway(cl)
		return
	}
	cl.deadline = now.Add(c.cfg.AcceptTimeout)
	cl.entry = c.queue.PushBack(cl)
	c.pump(now)
}

// enqueueFirst puts a client back at the head. The deadlines in the queue never
// fall from head to tail, so that only the head's has to be watched.
func (c *core) enqueueFirst(now time.Time, cl *client) {
	c.wait(cl)
	cl.deadline = now.Add(c.cfg.AcceptTimeout)
	if head := c.queue.Front(); head != nil {
		cl.deadline = head.Value.(*client).deadline
	}
	cl.entry = c.queue.PushFront(cl)
	c.pump(now)
}

func (c *core) wait(cl *client) {
	if cl.place != nil && cl.place.why == connected {
		c.do(placed{cl.key})
	}
	cl.phase, cl.place, cl.owner = phaseQueued, nil, 0
}

// full tells whether one more client may wait.
func (c *core) full() bool { return c.queue.Len()+len(c.reserved) >= c.cfg.Backlog }

// accepting: an Accept of a server socket waits for a client.
func (c *core) accepting(now time.Time, id socketID) error {
	if !c.isOpen(id) {
		return ErrClosed
	}
	c.credits.PushBack(id)
	c.pump(now)
	return nil
}

// withdrawn: the newest Accept of a server socket waits no more.
func (c *core) withdrawn(id socketID) {
	for e := c.credits.Back(); e != nil; e = e.Prev() {
		if e.Value.(socketID) == id {
			c.credits.Remove(e)
			return
		}
	}
}

// pump brings waiting clients and waiting Accepts together, both in the order
// of their coming: clients handed off and clients that connected alike, so
// neither kind starves the other (thesis §5.1.3).
func (c *core) pump(now time.Time) {
	for c.queue.Len() > 0 && c.credits.Len() > 0 {
		cl := c.queue.Remove(c.queue.Front()).(*client)
		id := c.credits.Remove(c.credits.Front()).(socketID)
		cl.entry, cl.phase, cl.owner = nil, phaseHeld, id
		c.do(deliver{cl.key, id})
		c.note(now, EventDelivered, cl, netip.Addr{}, nil)
		if !cl.bound && !cl.immobile {
			cl.bound = true
			c.do(bind{cl.key})
		}
	}
}

// tick: time passed. Clients that waited too long are offered elsewhere.
func (c *core) tick(now time.Time) {
	for {
		head := c.queue.Front()
		if head == nil || now.Before(head.Value.(*client).deadline) {
			return
		}
		cl := c.queue.Remove(head).(*client)
		cl.entry = nil
		cl.place = &placement{why: overdue, excluded: map[netip.Addr]bool{c.cfg.Self: true}}
		if cl.immobile && !c.relays() || c.tied(cl) {
			c.turnAway(cl)
			continue
		}
		c.distribute(now, cl)
	}
}

// next is when tick wants to be called; false: not at all.
func (c *core) next() (time.Time, bool) {
	if head := c.queue.Front(); head != nil {
		return head.Value.(*client).deadline, true
	}
	return time.Time{}, false
}

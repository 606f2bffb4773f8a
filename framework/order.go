package framework

import (
	"context"
	"net/netip"
	"time"

	"github.com/vanycast/vanycast/handoff"
)

// An order is a handoff that the client's application did not think of: an operator
// wants all connections of a client elsewhere. One that waits for an application
// is handed off at once; for one that an application has, this is asked to do it.

// ordered says whether the application has to be asked. With an error the client
// stays as it is; else report follows.
func (c *core) ordered(now time.Time, k key, target netip.Addr) (ask bool, err error) {
	cl := c.clients[k]
	fail := func(err error) (bool, error) { return false, &HandoffError{cl.remote, target, err} }
	switch {
	case cl == nil:
		return false, ErrUnknownClient
	case !c.group.knows(target) || target == c.cfg.Self:
		return fail(ErrUnknownReplica)
	case cl.finished:
		return fail(ErrFinished)
	case cl.ordered:
		return fail(handoff.ErrBusy)
	case cl.phase == phaseQueued:
		c.queue.Remove(cl.entry)
		cl.entry, cl.ordered = nil, true
		cl.place = &placement{why: commanded, explicit: target, excluded: make(map[netip.Addr]bool)}
		c.distribute(now, cl)
		return false, nil
	case cl.phase == phaseHeld && !c.takesOrders(cl.owner):
		return fail(ErrNotAsked)
	case cl.phase == phaseHeld:
		cl.ordered = true
		return true, nil
	}
	return fail(handoff.ErrBusy)
}

// takesOrders tells whether an application wants to be asked.
func (c *core) takesOrders(id socketID) bool {
	for _, s := range c.sockets {
		if s.id == id {
			return s.opts.HandoffRequests
		}
	}
	return false
}

// reported ends an order, if there is one for the client.
func (c *core) reported(cl *client, err error) {
	if cl.ordered {
		cl.ordered = false
		c.do(report{cl.key, err})
	}
}

// withdrawnOrder: nobody waits for the outcome any more.
func (c *core) withdrawnOrder(k key) {
	if cl := c.clients[k]; cl != nil {
		cl.ordered = false
	}
}

// Moved says what became of one connection of a client.
type Moved struct {
	ID            uint64
	Service       string
	Local, Remote netip.AddrPort
	Err           error // nil: the target has it
}

// HandoffClient hands all connections of a client off to the target, at once, and
// says for each what became of it, in the order of their coming. Those that an
// application has it is asked to hand off, if it wants to be (see
// ListenOptions.HandoffRequests, ServerSocket.OnOrder); the context bounds the
// waiting for it. The client's binding follows when none is left here.
func (s *Service) HandoffClient(ctx context.Context, client, target netip.Addr) []Moved {
	var all []Moved
	var waits []chan error
	var keys []key
	if s.call(func() {
		now := time.Now()
		for _, k := range s.core.keys() {
			cl := s.core.clients[k]
			if cl.remote.Addr() != client || cl.phase == phaseClosing {
				continue
			}
			ch := make(chan error, 1)
			s.orders[k] = ch
			ask, err := s.core.ordered(now, k, target)
			if ss := s.sockets[cl.owner]; ask && (ss == nil || ss.order == nil) {
				s.core.withdrawnOrder(k)
				err = &HandoffError{cl.remote, target, ErrNotAsked}
			} else if ask {
				s.spawn(func() { ss.order(uint64(k), target) })
			}
			if err != nil {
				delete(s.orders, k)
				ch <- err
			}
			all = append(all, Moved{ID: cl.id, Service: s.cfg.Service, Local: cl.local, Remote: cl.remote})
			waits, keys = append(waits, ch), append(keys, k)
		}
	}) != nil {
		return nil
	}
	for i, ch := range waits {
		select {
		case all[i].Err = <-ch:
			continue
		case <-ctx.Done():
		case <-s.ended:
		}
		s.call(func() {
			s.core.withdrawnOrder(keys[i])
			delete(s.orders, keys[i])
		})
		select {
		case all[i].Err = <-ch: // at the last moment
		default:
			all[i].Err = &HandoffError{all[i].Remote, target, context.Cause(ctx)}
			if ctx.Err() == nil {
				all[i].Err = ErrClosed
			}
		}
	}
	return all
}

// OnOrder sets what is called when a client that the application has shall go to a
// target: it should hand it off soon, or else it stays. It may wait.
func (ss *ServerSocket) OnOrder(f func(k uint64, target netip.Addr)) {
	ss.s.call(func() { ss.order = f })
}

// report is the action. For the loop.
func (s *Service) report(a report) {
	if ch := s.orders[a.key]; ch != nil {
		delete(s.orders, a.key)
		ch <- a.err
	}
}

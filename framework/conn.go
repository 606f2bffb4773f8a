package framework

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vanycast/vanycast/handoff"
)

// conn is what the service keeps of a client besides what core knows: the
// descriptor, the state, and what runs for it. While it is being moved its
// client belongs to the agent.
type conn struct {
	client  handoff.Client
	steered bool               // its contact node chose this replica
	slot    bool               // it takes one of Service.slots
	cancel  context.CancelFunc // ends the running probe or move

	bindCancel context.CancelFunc // ends the binding in the background
	bindDone   chan struct{}      // it ended

	once     sync.Once
	hurrying chan struct{} // closed: close at once
}

// hurry ends a running closeInOrder. For events.
func (c *conn) hurry() {
	if c.hurrying != nil {
		c.once.Do(func() { close(c.hurrying) })
	}
}

// bindPatience is how long a connection that was steered here waits, before it is
// handed off, for its client to be bound: if it is not by then it is handed off by
// relaying, and goes on by the contact node for as long as it lives.
const bindPatience = time.Second

// endBind ends the binding in the background and waits until it ended: two
// signalling runs for one client would disturb each other.
func (c *conn) endBind() {
	if c.bindCancel == nil {
		return
	}
	if c.steered {
		timer := time.NewTimer(bindPatience)
		defer timer.Stop()
		select {
		case <-c.bindDone:
		case <-timer.C:
		}
	}
	c.bindCancel()
	<-c.bindDone
}

// newConn is the event of an accepted connection.
func (s *Service) newConn(fd int) {
	local, lerr := unix.Getsockname(fd)
	remote, rerr := unix.Getpeername(fd)
	if lerr != nil || rerr != nil { // reset already
		unix.Close(fd)
		if !s.closing {
			<-s.slots
		}
		return
	}
	now := time.Now()
	id := newID()
	how := bornAnywhere
	if s.deps.Steered != nil && s.deps.Steered(addrPort(local), addrPort(remote)) {
		how = bornHere
	}
	k := s.core.born(now, id, addrPort(local), addrPort(remote), s.deps.SameHost(addrPort(remote).Addr()), how)
	s.conns[k] = &conn{
		slot:    !s.closing,
		steered: how == bornHere,
		client:  handoff.Client{ID: id, Service: s.cfg.Service, Local: addrPort(local), Remote: addrPort(remote), FD: fd, Since: now},
	}
	s.guard(fd, k)
}

// guard has the watcher look after a connection. Without, nothing is lost but
// early notice.
func (s *Service) guard(fd int, k key) {
	if err := s.watch.add(fd, k); err != nil {
		s.log.Warn("cannot watch a connection", "err", err)
	}
}

// newID chooses a client's name: random, so that replicas need not agree, and
// below 2^53, so that JSON keeps it.
func newID() uint64 { return rand.Uint64N(1<<53-1) + 1 }

// Taken is a client as an application gets it.
type Taken struct {
	// Client is a copy; its FD is a descriptor of the receiver's own, to be
	// closed by it.
	handoff.Client
	// Key names the client between the application and the service.
	Key uint64
	// FailedErr is why the handoff to Failed did not come about.
	FailedErr error
}

// taken makes what the application gets. For events.
func (s *Service) taken(k key) (*Taken, error) {
	c, cl := s.conns[k], s.core.clients[k]
	if c == nil || cl == nil {
		return nil, ErrUnknownClient
	}
	fd, err := unix.FcntlInt(uintptr(c.client.FD), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("framework: client %v: %w", cl.remote, os.NewSyscallError("dup", err))
	}
	t := &Taken{Client: c.client, Key: uint64(k), FailedErr: cl.failedErr}
	t.FD, t.HandedOff, t.From, t.Failed = fd, cl.handedOff, cl.from, cl.failed
	return t, nil
}

// Close closes the descriptor; the client itself is not touched.
func (t *Taken) Close() { unix.Close(t.FD) }

package framework

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/vanycast/vanycast/handoff"
)

// perform carries out one action. It belongs to an event and never waits.
func (s *Service) perform(a action) {
	switch a := a.(type) {
	case askPolicy:
		s.askPolicy(a)
	case probe:
		s.probe(a.key)
	case move:
		s.move(a)
	case immobile:
		s.deps.Relay.Immobile(a.client)
	case report:
		s.report(a)
	case ended:
		s.deps.Relay.Closed(a.local, a.remote, a.others)
	case vacated:
		s.deps.Relay.Vacated(a.client)
	case cancelWork:
		if c := s.conns[a.key]; c != nil && c.cancel != nil {
			c.cancel()
		}
	case deliver:
		s.deliver(a)
	case bind:
		s.bind(a.key)
	case fallBack:
		s.fallBack(a.client)
	case closeConn:
		s.closeConn(a)
	case clearBinding:
		s.clearBinding(a.client)
	case forget:
		s.forget(a.key)
	case answer:
		s.answer(a)
	case placed:
		if c := s.conns[a.key]; c != nil {
			s.freeSlot(c)
		}
	case replicaFailed:
		s.log.Info("replica did not take a client", "replica", a.target, "err", a.err)
		if p, err := s.policy(a.policy); err == nil {
			s.spawn(func() { p.ReplicaFailed(a.target, a.err) })
		}
	case observe:
		s.deps.Observe(a.event)
	}
}

// spawn runs what may take long.
func (s *Service) spawn(f func()) {
	s.work.Add(1)
	s.crew.Go(func() { defer s.work.Done(); f() })
}

func (s *Service) askPolicy(a askPolicy) {
	p, err := s.policy(a.policy)
	if err != nil { // cannot be: New and Listen made it before
		s.log.Error("policy", "err", err)
		p = local{}
	}
	if IsEarly(p) { // and so quick
		target, ok := p.Select(a.view, a.exclude)
		s.core.selected(time.Now(), a.key, target, ok)
		return
	}
	s.spawn(func() {
		target, ok := p.Select(a.view, a.exclude)
		s.event(func() { s.core.selected(time.Now(), a.key, target, ok) })
	})
}

func (s *Service) probe(k key) {
	c := s.conns[k]
	ctx, cancel := context.WithCancel(s.ctx)
	c.cancel = cancel
	client := c.client.Remote.Addr()
	s.spawn(func() {
		defer cancel()
		err := s.deps.Address.Probe(ctx, client)
		s.event(func() { s.core.probed(time.Now(), k, err) })
	})
}

func (s *Service) move(a move) {
	c := s.conns[a.key]
	ctx, cancel := context.WithCancel(s.ctx)
	c.cancel = cancel
	s.watch.remove(c.client.FD)
	// The acceptor learns from this whose client it gets.
	cl := s.core.clients[a.key]
	c.client.HandedOff, c.client.From, c.client.Failed = cl.handedOff, cl.from, netip.Addr{}
	s.spawn(func() {
		defer cancel()
		c.endBind()
		err := s.deps.Agent.Handoff(ctx, &c.client, a.target)
		s.event(func() {
			if c.client.FD >= 0 && err != nil {
				s.guard(c.client.FD, a.key)
			}
			s.core.moved(time.Now(), a.key, err)
		})
	})
}

func (s *Service) deliver(a deliver) {
	ss := s.sockets[a.socket]
	t, err := s.taken(a.key)
	if err != nil {
		// Out of descriptors: this client is closed, which frees one, and the
		// Accept goes on waiting.
		s.log.Error("cannot deliver a client", "err", err)
		s.core.closeAsked(a.socket, a.key, false, nil)
		s.core.accepting(time.Now(), a.socket)
		return
	}
	if !ss.give(t) {
		t.Close()
		s.core.returned(time.Now(), a.socket, a.key)
	}
}

func (s *Service) bind(k key) {
	c := s.conns[k]
	ctx, cancel := context.WithCancel(s.ctx)
	done := make(chan struct{})
	c.bindCancel, c.bindDone = cancel, done
	client := c.client.Remote.Addr()
	s.spawn(func() {
		defer close(done)
		defer cancel()
		err := s.deps.Address.Bind(ctx, client)
		if err != nil {
			s.log.Debug("client is served through the tunnel", "client", client, "err", err)
		}
		s.event(func() { s.core.bindEnded(k, err) })
	})
}

func (s *Service) closeConn(a closeConn) {
	c := s.conns[a.key]
	if c == nil {
		return
	}
	s.freeSlot(c)
	s.watch.remove(c.client.FD)
	if c.bindCancel != nil {
		c.bindCancel()
	}
	fd := c.client.FD
	c.client.FD = -1
	c.hurrying = make(chan struct{})
	s.spawn(func() {
		if a.abort {
			reset(fd)
		} else {
			closeInOrder(fd, s.cfg.Linger, c.hurrying)
		}
		s.event(func() { s.core.closed(time.Now(), a.key) })
	})
}

func (s *Service) clearBinding(client netip.Addr) {
	s.spawn(func() {
		ctx, cancel := context.WithTimeout(s.ctx, clearTimeout)
		defer cancel()
		if err := s.deps.Address.Clear(ctx, client); err != nil {
			s.log.Info("binding not cleared", "client", client, "err", err)
		}
	})
}

func (s *Service) forget(k key) {
	c := s.conns[k]
	if c == nil {
		return
	}
	s.freeSlot(c)
	if c.bindCancel != nil {
		c.bindCancel()
	}
	delete(s.conns, k)
}

func (s *Service) freeSlot(c *conn) {
	if c.slot {
		c.slot = false
		<-s.slots
	}
}

// answer ends the wait for a handoff.
func (s *Service) answer(a answer) {
	give := s.answers[a.key]
	delete(s.answers, a.key)
	if give == nil {
		return
	}
	var back *Taken // the client, if it is the application's again
	if cl := s.core.clients[a.key]; a.err != nil && cl != nil {
		var err error
		if back, err = s.taken(a.key); err != nil {
			s.core.closeAsked(cl.owner, a.key, false, nil)
			a.err = fmt.Errorf("%w: %w: %w", a.err, handoff.ErrGone, err)
		}
	}
	give(back, a.err)
}

package framework

import (
	"net/netip"
	"slices"
	"time"
)

// ServerSocket is an application that listens: the thesis's GeckoServerSocket
// and, for the clients that the application has, its GeckoSocket. Its methods are
// safe for concurrent use.
type ServerSocket struct {
	s       *Service
	id      socketID
	waiters []func(*Taken) // the Accepts, oldest first; for events
	order   func(k uint64, target netip.Addr)
}

// Listen opens a server socket: from now on clients may be distributed to this
// replica. The error wraps ErrUnknownPolicy or ErrClosed.
func (s *Service) Listen(o ListenOptions) (*ServerSocket, error) {
	var ss *ServerSocket
	var err error
	cerr := s.call(func() {
		if s.closing {
			err = ErrClosed
			return
		}
		if o.Policy != "" {
			if _, err = s.policy(o.Policy); err != nil {
				return
			}
		}
		ss = &ServerSocket{s: s, id: s.core.opened(o)}
		s.sockets[ss.id] = ss
	})
	if cerr != nil {
		return nil, cerr
	}
	return ss, err
}

// Accept waits for a client in the background: give is called once, with a client
// that is taken by that or with nil if there will be none, unless Withdraw was before.
// It must neither wait nor use the service. The error wraps ErrClosed.
func (ss *ServerSocket) Accept(give func(*Taken)) error {
	var err error
	if cerr := ss.s.call(func() {
		if err = ss.s.core.accepting(time.Now(), ss.id); err == nil {
			ss.waiters = append(ss.waiters, give)
		}
	}); cerr != nil {
		return cerr
	}
	return err
}

// Withdraw ends the newest Accepts, at most n, and tells how many these were.
func (ss *ServerSocket) Withdraw(n int) (withdrawn int) {
	ss.s.event(func() {
		withdrawn = min(n, len(ss.waiters))
		ss.waiters = slices.Delete(ss.waiters, len(ss.waiters)-withdrawn, len(ss.waiters))
		for range withdrawn {
			ss.s.core.withdrawn(ss.id)
		}
	})
	return withdrawn
}

// give hands a client to the oldest Accept. For events.
func (ss *ServerSocket) give(t *Taken) bool {
	if ss == nil || len(ss.waiters) == 0 {
		return false
	}
	accepted := ss.waiters[0]
	ss.waiters = slices.Delete(ss.waiters, 0, 1)
	accepted(t)
	return true
}

// fail ends all Accepts. For events.
func (ss *ServerSocket) fail() {
	for _, accepted := range ss.waiters {
		accepted(nil)
	}
	ss.waiters = nil
}

// Close ends the taking of clients. Those that the application has it keeps.
func (ss *ServerSocket) Close() {
	ss.s.call(func() {
		ss.s.core.socketClosed(ss.id)
		delete(ss.s.sockets, ss.id)
		ss.fail()
	})
}

// Abandon tells that the application is gone: its clients are closed in order.
func (ss *ServerSocket) Abandon() {
	ss.s.call(func() {
		ss.s.core.abandoned(ss.id)
		delete(ss.s.sockets, ss.id)
		ss.fail()
	})
}

// Return gives back a client that the application never saw; it is the next to
// be taken.
func (ss *ServerSocket) Return(k uint64) {
	ss.s.call(func() { ss.s.core.returned(time.Now(), ss.id, key(k)) })
}

// CloseClient closes a client's connection: in order, or with a reset if the
// application wants that. clear says whether its binding is cleared; nil leaves
// that to Config.ClearOnClose. The error wraps ErrUnknownClient or ErrClosed.
func (ss *ServerSocket) CloseClient(k uint64, abort bool, clear *bool) error {
	var err error
	if cerr := ss.s.call(func() { err = ss.s.core.closeAsked(ss.id, key(k), abort, clear) }); cerr != nil {
		return cerr
	}
	return err
}

// Handoff hands a client off, with its state, to target or, if that is not
// valid, to a replica that the policy chooses. The application must have closed
// its descriptor. Blocking, done is told of the outcome, else only of the first
// target; a client whose handoff fails after that comes through Accept again,
// with Failed and FailedErr set.
//
// With an error and a client, that is the application's again. An error without a
// client (it wraps handoff.ErrGone, ErrUnknownClient or ErrClosed) means that the
// client is not here. done is called once, also if Handoff has not returned yet; it
// must neither wait nor use the service.
func (ss *ServerSocket) Handoff(k uint64, target netip.Addr, state []byte, nonblocking bool, done func(*Taken, error)) {
	s := ss.s
	if !s.event(func() {
		cl := s.core.held(ss.id, key(k))
		if cl == nil {
			done(nil, ErrUnknownClient)
			return
		}
		s.conns[cl.key].client.State = state
		s.answers[cl.key] = done
		if err := s.core.handoffAsked(time.Now(), ss.id, cl.key, target, nonblocking); err != nil {
			s.answer(answer{cl.key, err})
		}
	}) {
		done(nil, ErrClosed)
	}
}

// CancelHandoff ends the handoff of a client if that is still possible; its outcome
// is told all the same.
func (ss *ServerSocket) CancelHandoff(k uint64) {
	ss.s.event(func() { ss.s.core.handoffCanceled(key(k)) })
}

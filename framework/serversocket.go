package framework

import (
	"context"
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
	waiters []chan *Taken // the Accepts, oldest first; the loop's
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

// Accept waits for a client and takes it. The error is the context's, or wraps
// ErrClosed.
func (ss *ServerSocket) Accept(ctx context.Context) (*Taken, error) {
	w := make(chan *Taken, 1)
	var err error
	if cerr := ss.s.call(func() {
		if err = ss.s.core.accepting(time.Now(), ss.id); err == nil {
			ss.waiters = append(ss.waiters, w)
		}
	}); cerr != nil {
		return nil, cerr
	}
	if err != nil {
		return nil, err
	}
	select {
	case t, ok := <-w:
		if !ok {
			return nil, ErrClosed
		}
		return t, nil
	case <-ctx.Done():
	}
	ss.s.call(func() {
		if i := slices.Index(ss.waiters, w); i >= 0 {
			ss.waiters = slices.Delete(ss.waiters, i, i+1)
			ss.s.core.withdrawn(ss.id)
			close(w)
		}
	})
	if t, ok := <-w; ok { // a client came at the last moment
		t.Close()
		ss.Return(t.Key)
	}
	return nil, ctx.Err()
}

// give hands a client to the oldest Accept. For the loop.
func (ss *ServerSocket) give(t *Taken) bool {
	if ss == nil || len(ss.waiters) == 0 {
		return false
	}
	w := ss.waiters[0]
	ss.waiters = slices.Delete(ss.waiters, 0, 1)
	w <- t
	return true
}

// fail ends all Accepts. For the loop.
func (ss *ServerSocket) fail() {
	for _, w := range ss.waiters {
		close(w)
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
// its descriptor. Blocking, it waits for the outcome, else only for the first
// target; a client whose handoff fails after that comes through Accept again,
// with Failed and FailedErr set.
//
// Where it returns an error and a client, that is the application's again. An
// error without a client (it wraps handoff.ErrGone, ErrUnknownClient or
// ErrClosed) means that the client is not here. The end of the context ends the
// handoff if that is still possible; its outcome is waited for all the same.
func (ss *ServerSocket) Handoff(ctx context.Context, k uint64, target netip.Addr, state []byte, nonblocking bool) (*Taken, error) {
	s := ss.s
	ch := make(chan result, 1)
	if err := s.call(func() {
		cl := s.core.held(ss.id, key(k))
		if cl == nil {
			ch <- result{err: ErrUnknownClient}
			return
		}
		s.conns[cl.key].client.State = state
		s.answers[cl.key] = ch
		if err := s.core.handoffAsked(time.Now(), ss.id, cl.key, target, nonblocking); err != nil {
			s.answer(answer{cl.key, err})
		}
	}); err != nil {
		return nil, err
	}
	select {
	case r := <-ch:
		return r.back, r.err
	case <-ctx.Done():
		s.post(func() { s.core.handoffCanceled(key(k)) })
	case <-s.ended:
	}
	select {
	case r := <-ch:
		return r.back, r.err
	case <-s.ended:
		return nil, ErrClosed
	}
}

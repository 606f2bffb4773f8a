package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/vanycast/vanycast/api/wire"
	"github.com/vanycast/vanycast/framework"
)

// session is the daemon's end of a session with an application: it translates
// between frames and a framework.ServerSocket.
type session struct {
	wire *wire.Session
	ss   *framework.ServerSocket
	log  *slog.Logger
	ctx  context.Context
	stop context.CancelFunc

	work sync.WaitGroup

	mu       sync.Mutex
	accepts  []*accept                     // that wait, oldest first
	handoffs map[uint64]context.CancelFunc // by client
	prepares int                           // under way
}

// accept is one client that the application wants.
type accept struct{ cancel context.CancelFunc }

func newSession(ctx context.Context, c *net.UnixConn, ss *framework.ServerSocket, log *slog.Logger) *session {
	s := &session{wire: wire.NewSession(c), ss: ss, log: log, handoffs: make(map[uint64]context.CancelFunc)}
	s.ctx, s.stop = context.WithCancel(ctx)
	ss.OnOrder(func(k uint64, target netip.Addr) {
		s.wire.Send(&wire.Message{Kind: wire.KindOrder, Client: k, Target: target}, nil, -1) // an error ends the session
	})
	return s
}

// run serves until the application leaves, breaks the protocol, or the daemon
// ends. Then its clients are closed in order.
func (s *session) run() {
	unhook := context.AfterFunc(s.ctx, func() { s.wire.Close() })
	defer unhook()
	var err error
	for err == nil {
		var f *wire.Frame
		if f, err = s.wire.Receive(); err == nil {
			err = s.handle(f)
		}
	}
	switch {
	case s.ctx.Err() != nil, errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed):
	case errors.Is(err, wire.ErrFrame):
		s.log.Warn("application broke the protocol", "err", err)
		s.wire.Send(&wire.Message{Kind: wire.KindFault, Failure: &wire.Failure{Code: wire.CodeProtocol, Text: err.Error()}}, nil, -1)
	default:
		s.log.Info("session ended", "err", err)
	}
	s.stop()
	s.ss.Abandon()
	s.wire.Close()
	s.work.Wait()
}

// handle does what a frame says. An error ends the session.
func (s *session) handle(f *wire.Frame) error {
	switch f.Kind {
	case wire.KindAccept:
		return s.accept(f.N)
	case wire.KindWithdraw:
		s.withdraw(f.N)
	case wire.KindUnlisten:
		s.ss.Close()
	case wire.KindReturn:
		s.ss.Return(f.Client)
	case wire.KindClose:
		if err := s.ss.CloseClient(f.Client, f.Abort, f.Clear); err != nil {
			s.log.Debug("close", "client", f.Client, "err", err)
		}
	case wire.KindHandoff:
		return s.handoff(f)
	case wire.KindCancel:
		s.mu.Lock()
		if cancel := s.handoffs[f.Client]; cancel != nil {
			cancel()
		}
		s.mu.Unlock()
	case wire.KindPrepare:
		return s.prepare(f)
	case wire.KindAdopt:
		return s.adopt(f)
	default:
		if f.FD >= 0 {
			unix.Close(f.FD)
		}
		return fmt.Errorf("%w: %s is not for the daemon", wire.ErrFrame, f.Kind)
	}
	return nil
}

// accept waits for n more clients.
func (s *session) accept(n int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.accepts)+n > wire.MaxCredits {
		return fmt.Errorf("%w: more than %d clients wanted at one time", wire.ErrFrame, wire.MaxCredits)
	}
	for range n {
		ctx, cancel := context.WithCancel(s.ctx)
		a := &accept{cancel}
		s.accepts = append(s.accepts, a)
		s.work.Go(func() { s.deliver(ctx, a) })
	}
	return nil
}

// withdraw wants n fewer, the newest first.
func (s *session) withdraw(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for ; n > 0 && len(s.accepts) > 0; n-- {
		last := len(s.accepts) - 1
		s.accepts[last].cancel()
		s.accepts = s.accepts[:last]
	}
}

// deliver waits for a client and sends it.
func (s *session) deliver(ctx context.Context, a *accept) {
	t, err := s.ss.Accept(ctx)
	a.cancel()
	s.mu.Lock()
	for i, x := range s.accepts {
		if x == a {
			s.accepts = append(s.accepts[:i], s.accepts[i+1:]...)
			break
		}
	}
	s.mu.Unlock()
	if err != nil { // withdrawn, or no more clients
		return
	}
	defer t.Close()
	m := &wire.Message{
		Kind: wire.KindDelivered, Client: t.Key, ID: t.ID, Service: t.Service, Local: t.Local, Remote: t.Remote,
		HandedOff: t.HandedOff, From: t.From, Since: t.Since,
	}
	if t.FailedErr != nil {
		m.Failure = failure(t.FailedErr)
	}
	if err := s.wire.Send(m, t.State, t.FD); err != nil {
		s.ss.Return(t.Key) // the application never saw it
	}
}

// handoff hands a client off and sends the outcome.
func (s *session) handoff(f *wire.Frame) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.handoffs[f.Client] != nil {
		return fmt.Errorf("%w: client %d is being handed off", wire.ErrFrame, f.Client)
	}
	ctx, cancel := context.WithCancel(s.ctx)
	s.handoffs[f.Client] = cancel
	s.work.Go(func() {
		defer cancel()
		t, err := s.ss.Handoff(ctx, f.Client, f.Target, f.State, f.Nonblocking)
		s.mu.Lock()
		delete(s.handoffs, f.Client)
		s.mu.Unlock()
		m := &wire.Message{Kind: wire.KindResult, Client: f.Client}
		fd := -1
		if err != nil {
			m.Failure = failure(err)
		}
		if t != nil {
			defer t.Close()
			fd = t.FD
		} else if err != nil && m.Failure.Code != wire.CodeClosed && m.Failure.Code != wire.CodeUnknownClient {
			m.Failure.Code = wire.CodeGone
		}
		s.wire.Send(m, nil, fd) // an error ends the session, and that closes the client
	})
	return nil
}

// adopt makes a client of the application's own connection.
func (s *session) adopt(f *wire.Frame) error {
	m := &wire.Message{Kind: wire.KindAdopted, Tag: f.Tag}
	k, id, err := s.ss.Adopt(f.FD, f.State)
	if err != nil {
		m.Failure = failure(err)
	}
	m.Client, m.ID = k, id
	return s.wire.Send(m, nil, -1)
}

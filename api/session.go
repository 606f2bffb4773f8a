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

	out *outbox

	mu       sync.Mutex
	accepts  int             // that wait
	handoffs map[uint64]bool // under way, by client
	prepares int             // under way
}

func newSession(ctx context.Context, c *net.UnixConn, ss *framework.ServerSocket, log *slog.Logger) *session {
	s := &session{wire: wire.NewSession(c), ss: ss, log: log, out: newOutbox(), handoffs: make(map[uint64]bool)}
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
	s.work.Go(func() { s.out.run(s.send) })
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
	s.out.close()
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
		underWay := s.handoffs[f.Client]
		s.mu.Unlock()
		if underWay {
			s.ss.CancelHandoff(f.Client)
		}
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
	if s.accepts+n > wire.MaxCredits {
		s.mu.Unlock()
		return fmt.Errorf("%w: more than %d clients wanted at one time", wire.ErrFrame, wire.MaxCredits)
	}
	s.accepts += n
	s.mu.Unlock()
	for range n {
		if s.ss.Accept(s.accepted) != nil { // there will be no more clients
			s.accepted(nil)
		}
	}
	return nil
}

// accepted is what an accept ends with: a client, or nil if there are no more.
func (s *session) accepted(t *framework.Taken) {
	s.mu.Lock()
	s.accepts--
	s.mu.Unlock()
	if t != nil {
		s.out.put(letter{taken: t})
	}
}

// withdraw wants n fewer, the newest first.
func (s *session) withdraw(n int) {
	n = s.ss.Withdraw(n)
	s.mu.Lock()
	s.accepts -= n
	s.mu.Unlock()
}

// deliver sends a client.
func (s *session) deliver(t *framework.Taken) {
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

// handoff hands a client off.
func (s *session) handoff(f *wire.Frame) error {
	s.mu.Lock()
	again := s.handoffs[f.Client]
	s.handoffs[f.Client] = true
	s.mu.Unlock()
	if again {
		return fmt.Errorf("%w: client %d is being handed off", wire.ErrFrame, f.Client)
	}
	s.ss.Handoff(f.Client, f.Target, f.State, f.Nonblocking, func(t *framework.Taken, err error) {
		s.mu.Lock()
		delete(s.handoffs, f.Client)
		s.mu.Unlock()
		s.out.put(letter{outcome: true, client: f.Client, taken: t, err: err})
	})
	return nil
}

// result sends the outcome of a handoff.
func (s *session) result(client uint64, t *framework.Taken, err error) {
	m := &wire.Message{Kind: wire.KindResult, Client: client}
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
}

// send sends what the service had to say.
func (s *session) send(l letter) {
	if l.outcome {
		s.result(l.client, l.taken, l.err)
	} else {
		s.deliver(l.taken)
	}
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

package vanycast

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/vanycast/vanycast/api/wire"
)

// session is the application's end of a session with the daemon: one per
// Listener, for its clients too. It lives until the Listener is closed and the
// last client is gone.
type session struct {
	wire    *wire.Session
	request func(*Conn, netip.Addr) // an operator wants a client elsewhere; may be nil

	mu        sync.Mutex
	err       error                       // why it ended
	listening bool                        // the Listener is open
	acceptors []chan<- *Conn              // waiting Accepts, oldest first
	conns     map[uint64]*Conn            // by the name of the client
	answers   map[uint64]chan<- wireReply // waiting handoffs, by client; waiting adoptions and preparations, by tag
	lastTag   uint64
}

// wireReply is the daemon's answer, or why there is none.
type wireReply struct {
	*wire.Frame
	err error
}

// tagBit tells the tags of adoptions and preparations from clients in session.answers.
const tagBit = 1 << 63

func newSession(w *wire.Session, request func(*Conn, netip.Addr)) *session {
	s := &session{wire: w, request: request, listening: true, conns: make(map[uint64]*Conn), answers: make(map[uint64]chan<- wireReply)}
	go s.receive()
	return s
}

// receive handles what the daemon says until the session ends.
func (s *session) receive() {
	for {
		f, err := s.wire.Receive()
		if err != nil {
			s.end(err)
			return
		}
		switch f.Kind {
		case wire.KindDelivered:
			s.delivered(f)
		case wire.KindResult:
			s.answer(f.Client, f)
		case wire.KindAdopted, wire.KindPrepared:
			s.answer(f.Tag|tagBit, f)
		case wire.KindOrder:
			s.ordered(f)
		case wire.KindFault:
			s.end(errors.New(f.Failure.Text))
			return
		default: // for a newer application
			s.end(fmt.Errorf("%w: unexpected %s", wire.ErrFrame, f.Kind))
			return
		}
	}
}

// end lets everybody know that nothing comes any more.
func (s *session) end(err error) {
	s.wire.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return
	}
	s.err = ErrDaemonGone
	if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
		s.err = fmt.Errorf("%w: %w", ErrDaemonGone, err)
	}
	for _, a := range s.acceptors {
		close(a)
	}
	s.acceptors = nil
	for k, a := range s.answers {
		a <- wireReply{err: s.err}
		delete(s.answers, k)
	}
}

func (s *session) answer(k uint64, f *wire.Frame) {
	s.mu.Lock()
	a := s.answers[k]
	delete(s.answers, k)
	s.mu.Unlock()
	if a != nil {
		a <- wireReply{Frame: f}
	} else if f.FD >= 0 {
		unix.Close(f.FD)
	}
}

// delivered makes a Conn and gives it to the Accept that waits longest.
func (s *session) delivered(f *wire.Frame) {
	c, err := newConn(s, f)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil { // no descriptor left, most likely: the daemon may do better
		s.wire.Send(&wire.Message{Kind: wire.KindClose, Client: f.Client}, nil, -1)
		if len(s.acceptors) > 0 {
			s.wire.Send(&wire.Message{Kind: wire.KindAccept, N: 1}, nil, -1)
		}
		return
	}
	if len(s.acceptors) == 0 { // its Accept gave up meanwhile
		c.tcp.Close()
		s.wire.Send(&wire.Message{Kind: wire.KindReturn, Client: f.Client}, nil, -1)
		return
	}
	s.conns[c.client] = c
	a := s.acceptors[0]
	s.acceptors = slices.Delete(s.acceptors, 0, 1)
	a <- c
}

// accept waits for a client.
func (s *session) accept(ctx context.Context) (*Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	ch := make(chan *Conn, 1)
	s.mu.Lock()
	switch {
	case !s.listening:
		s.mu.Unlock()
		return nil, net.ErrClosed
	case s.err != nil:
		defer s.mu.Unlock()
		return nil, s.err
	}
	s.acceptors = append(s.acceptors, ch)
	s.mu.Unlock()
	s.wire.Send(&wire.Message{Kind: wire.KindAccept, N: 1}, nil, -1) // an error ends the session, and that the channel

	select {
	case c, ok := <-ch:
		if ok {
			return c, nil
		}
	case <-ctx.Done():
		s.mu.Lock()
		i := slices.Index(s.acceptors, (chan<- *Conn)(ch))
		if i >= 0 {
			s.acceptors = slices.Delete(s.acceptors, i, i+1)
		}
		s.mu.Unlock()
		if i >= 0 {
			s.wire.Send(&wire.Message{Kind: wire.KindWithdraw, N: 1}, nil, -1)
			return nil, ctx.Err()
		}
		if c, ok := <-ch; ok { // it came at the last moment
			return c, nil
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.listening {
		return nil, net.ErrClosed
	}
	return nil, s.err
}

// unlisten ends the accepting.
func (s *session) unlisten() error {
	s.mu.Lock()
	if !s.listening {
		s.mu.Unlock()
		return net.ErrClosed
	}
	s.listening = false
	for _, a := range s.acceptors {
		close(a)
	}
	s.acceptors = nil
	over := s.idle()
	s.mu.Unlock()
	if over {
		return s.wire.Close()
	}
	s.wire.Send(&wire.Message{Kind: wire.KindUnlisten}, nil, -1)
	return nil
}

// forget drops a client that is closed or gone; close tells the daemon so.
func (s *session) forget(client uint64, m *wire.Message) {
	if m != nil {
		s.wire.Send(m, nil, -1) // without the daemon there is nobody to tell
	}
	s.mu.Lock()
	delete(s.conns, client)
	over := s.idle()
	s.mu.Unlock()
	if over {
		s.wire.Close()
	}
}

// idle tells whether nobody needs the session any more. With s.mu.
func (s *session) idle() bool { return !s.listening && len(s.conns) == 0 && len(s.answers) == 0 }

// expectTag is expect for an answer that has a tag.
func (s *session) expectTag() (tag uint64, answer <-chan wireReply, err error) {
	s.mu.Lock()
	s.lastTag++
	tag = s.lastTag
	s.mu.Unlock()
	answer, err = s.expect(tag | tagBit)
	return tag, answer, err
}

// unexpect: nobody waits for that answer any more.
func (s *session) unexpect(tag uint64) {
	s.mu.Lock()
	delete(s.answers, tag|tagBit)
	over := s.idle()
	s.mu.Unlock()
	if over {
		s.wire.Close()
	}
}

// expect registers for an answer before it is asked for.
func (s *session) expect(k uint64) (<-chan wireReply, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, s.err
	}
	ch := make(chan wireReply, 1)
	s.answers[k] = ch
	return ch, nil
}

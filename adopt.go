package vanycast

import (
	"fmt"
	"net"
	"os"

	"github.com/vanycast/vanycast/api/wire"
)

// Adopt makes a client of a connection that the application has from elsewhere,
// for instance one that it made itself, so that it can be handed off. Its local
// address must be the contact address. On success conn is the Conn's and must not
// be used any more; after an error it is as it was.
func (l *Listener) Adopt(conn *net.TCPConn, state []byte) (*Conn, error) {
	fail := func(err error) (*Conn, error) {
		return nil, fmt.Errorf("vanycast: adopt %v: %w", conn.RemoteAddr(), err)
	}
	if len(state) > MaxState {
		return fail(ErrStateTooLong)
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return fail(err)
	}
	s := l.s
	tag, answer, err := s.expectTag()
	if err != nil {
		return fail(err)
	}
	var sent error
	if err := raw.Control(func(fd uintptr) {
		sent = s.wire.Send(&wire.Message{Kind: wire.KindAdopt, Tag: tag}, state, int(fd))
	}); err != nil {
		s.unexpect(tag)
		return fail(err)
	}
	if sent != nil {
		return fail(sent)
	}
	r := <-answer
	switch {
	case r.err != nil:
		return fail(r.err)
	case r.Failure != nil:
		return fail(&os.SyscallError{Syscall: "adopt", Err: handoffError(r.Failure)})
	}
	c := &Conn{s: s, client: r.Client, id: r.ID, tcp: conn, state: state, wake: make(chan struct{})}
	c.local, c.remote = conn.LocalAddr(), conn.RemoteAddr()
	s.mu.Lock()
	s.conns[c.client] = c
	s.mu.Unlock()
	return c, nil
}

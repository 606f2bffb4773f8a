package vanycast

import (
	"context"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vanycast/vanycast/api/wire"
)

// Handoff hands the client to another replica's application, with its State:
// target is the replica's care-of address, or the zero Addr to let the policy
// choose. It returns nil when the client is served there; then Read and Write
// return ErrHandedOff. Where the policy chooses this replica, the client comes
// through Accept again, which is a handoff too.
//
// Otherwise the error is a *HandoffError that says why and to whom, and unless it
// is ErrGone the Conn goes on working as if nothing had been. By policy, other
// targets are tried before. The end of the context ends a handoff that can still
// be ended; its outcome is waited for all the same.
func (c *Conn) Handoff(ctx context.Context, target netip.Addr) error {
	return c.handoff(ctx, target, false)
}

// HandoffAsync hands the client off in the background. It returns when the first
// target is known: nil means that the Conn is gone, as after Handoff. If the
// handoff fails later, the client comes through Accept again, with FailedHandoff.
// An error means that the client stayed.
func (c *Conn) HandoffAsync(target netip.Addr) error {
	return c.handoff(context.Background(), target, true)
}

func (c *Conn) handoff(ctx context.Context, target netip.Addr, nonblocking bool) error {
	if err := ctx.Err(); err != nil {
		return c.opError("handoff", err)
	}
	answer, state, err := c.leave()
	if err != nil {
		return c.opError("handoff", err)
	}
	// From here on the daemon's is the only descriptor: the socket of a client
	// that comes back soon could not be made while another holds the old one.
	c.tcp.Close()
	c.s.wire.Send(&wire.Message{Kind: wire.KindHandoff, Client: c.client, Target: target, Nonblocking: nonblocking}, state, -1)

	var r wireReply
	select {
	case r = <-answer:
	case <-ctx.Done():
		c.s.wire.Send(&wire.Message{Kind: wire.KindCancel, Client: c.client}, nil, -1)
		r = <-answer
	}
	return c.settle(r)
}

// leave stops all operations on the socket and keeps new ones waiting.
func (c *Conn) leave() (<-chan wireReply, []byte, error) {
	c.mu.Lock()
	switch {
	case c.phase == leaving:
		c.mu.Unlock()
		return nil, nil, ErrInHandoff
	case c.phase == gone:
		c.mu.Unlock()
		return nil, nil, ErrHandedOff
	case c.phase == closed:
		c.mu.Unlock()
		return nil, nil, net.ErrClosed
	case c.bare:
		c.mu.Unlock()
		return nil, nil, ErrBare
	case len(c.state) > MaxState:
		c.mu.Unlock()
		return nil, nil, ErrStateTooLong
	}
	answer, err := c.s.expect(c.client)
	if err != nil {
		c.mu.Unlock()
		return nil, nil, err
	}
	c.phase = leaving
	state := c.state
	var idle chan struct{}
	if c.active > 0 {
		idle = make(chan struct{})
		c.idle = idle
		c.tcp.SetDeadline(time.Unix(1, 0))
	}
	c.mu.Unlock()
	if idle != nil {
		<-idle
	}
	return answer, state, nil
}

// settle ends a handoff with the daemon's answer.
func (c *Conn) settle(r wireReply) error {
	err := r.err
	var tcp *net.TCPConn
	if err == nil {
		err = handoffError(r.Failure)
		switch {
		case r.FD >= 0 && r.Failure != nil:
			var terr error
			if tcp, terr = tcpConn(r.FD, true); terr != nil {
				err = &HandoffError{Code: string(wire.CodeGone), Text: terr.Error()}
				c.s.wire.Send(&wire.Message{Kind: wire.KindClose, Client: c.client}, nil, -1)
			}
		case r.FD >= 0: // a daemon that gives back what it has handed off
			unix.Close(r.FD)
		}
	}
	c.mu.Lock()
	wasClosed := c.closed
	switch {
	case tcp == nil:
		c.phase = gone
	case wasClosed:
		c.phase = closed
	default:
		c.phase, c.tcp = here, tcp
		c.applyDeadlines(true, true)
	}
	abort := c.abort
	c.changed()
	c.mu.Unlock()
	switch {
	case tcp == nil:
		c.s.forget(c.client, nil)
	case wasClosed:
		c.closeTCP(tcp, abort, nil)
	}
	if err != nil {
		return c.opError("handoff", err)
	}
	return nil
}

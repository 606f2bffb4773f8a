package vanycast

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vanycast/vanycast/api/wire"
)

// Conn is one client's connection. It is a net.Conn over a *net.TCPConn, safe for
// concurrent use as that is.
//
// While a Handoff is under way, Read and Write wait for its outcome: if the
// client is gone they return ErrHandedOff, a Write with the number of bytes that
// travel to the client; if it stays they go on as if nothing had been.
type Conn struct {
	s             *session
	client        uint64 // its name in the session
	id            uint64
	local, remote net.Addr
	handedOff     bool
	from          netip.Addr
	failure       error // of the handoff that it is back from
	failed        netip.Addr

	writing sync.Mutex // one Write at a time, also across a handoff that failed

	mu     sync.Mutex
	tcp    *net.TCPConn
	phase  phase
	active int           // operations on tcp
	idle   chan struct{} // closed when there are none any more, while leaving
	wake   chan struct{} // closed when phase or a deadline changes
	closed bool          // Close was called while leaving
	abort  bool          // SetLinger(0)
	bare   bool          // NetConn was called
	state  []byte
	rd, wd time.Time // the deadlines
}

// phase is where a Conn is.
type phase uint8

const (
	here    phase = iota
	leaving       // a handoff is under way
	gone          // handed off
	closed
)

// newConn makes a Conn of what the daemon delivered. It owns the frame's
// descriptor.
func newConn(s *session, f *wire.Frame) (*Conn, error) {
	// What is fresh gets what net.Listen would give; a client that was served
	// before keeps the options that the application gave it.
	tcp, err := tcpConn(f.FD, f.HandedOff || f.Failure != nil)
	if err != nil {
		return nil, err
	}
	c := &Conn{
		s: s, client: f.Client, id: f.ID, tcp: tcp, state: f.State, handedOff: f.HandedOff, from: f.From,
		local: net.TCPAddrFromAddrPort(f.Local), remote: net.TCPAddrFromAddrPort(f.Remote), wake: make(chan struct{}),
	}
	if f.Failure != nil {
		c.failure, c.failed = handoffError(f.Failure), f.Failure.Target
	}
	return c, nil
}

// tcpConn makes a net.TCPConn of a descriptor, which is closed in any case. keep
// leaves the options as they are; else they become Go's own for a connection.
func tcpConn(fd int, keep bool) (*net.TCPConn, error) {
	f := os.NewFile(uintptr(fd), "client")
	defer f.Close()
	opts := readOptions(fd)
	c, err := net.FileConn(f) // this sets TCP_NODELAY, and in some releases keepalive
	if err != nil {
		return nil, fmt.Errorf("vanycast: descriptor of a client: %w", err)
	}
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		c.Close()
		return nil, fmt.Errorf("vanycast: descriptor of a client: a %T", c)
	}
	if keep {
		writeOptions(tcp, opts)
	} else {
		tcp.SetNoDelay(true)
		tcp.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true})
	}
	return tcp, nil
}

// option is a socket option that net.FileConn may change.
type option struct{ level, name, value int }

func readOptions(fd int) []option {
	opts := []option{
		{level: unix.IPPROTO_TCP, name: unix.TCP_NODELAY},
		{level: unix.IPPROTO_TCP, name: unix.TCP_KEEPIDLE},
		{level: unix.IPPROTO_TCP, name: unix.TCP_KEEPINTVL},
		{level: unix.IPPROTO_TCP, name: unix.TCP_KEEPCNT},
		{level: unix.SOL_SOCKET, name: unix.SO_KEEPALIVE},
	}
	for i, o := range opts {
		opts[i].value, _ = unix.GetsockoptInt(fd, o.level, o.name) // a TCP socket has them all
	}
	return opts
}

func writeOptions(c *net.TCPConn, opts []option) {
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	raw.Control(func(fd uintptr) {
		for _, o := range opts {
			unix.SetsockoptInt(int(fd), o.level, o.name, o.value)
		}
	})
}

// LocalAddr is the contact address and port.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr is the client's address and port.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// ID names the client for its whole life, at whatever replica.
func (c *Conn) ID() uint64 { return c.id }

// HandedOff tells whether an application served the client before: at another
// replica, or at this one if the policy chose it or the handoff failed.
func (c *Conn) HandedOff() bool { return c.handedOff }

// Donor is the care-of address of the replica that served the client before, if
// HandedOff.
func (c *Conn) Donor() netip.Addr { return c.from }

// FailedHandoff tells whether the client is back because a HandoffAsync failed,
// and to which target; that is invalid if none was found. HandoffErr says why.
func (c *Conn) FailedHandoff() (target netip.Addr, failed bool) { return c.failed, c.failure != nil }

// HandoffErr is why the HandoffAsync failed that the client is back from: a
// *HandoffError, or nil.
func (c *Conn) HandoffErr() error { return c.failure }

// State is what was given to SetState, here or, if HandedOff, by the application
// that served the client before; nil if nothing was.
func (c *Conn) State() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// SetState sets what travels with the client in a handoff, MaxState bytes at
// most. It is not copied: what it is when Handoff is called counts.
func (c *Conn) SetState(state []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state = state
}

// Close closes the connection: what was written reaches the client, then a FIN;
// what the client still sends is thrown away. After a handoff it does nothing.
func (c *Conn) Close() error { return c.close(nil) }

// CloseClear is Close, and says whether the client's binding is cleared, so that
// its next connection reaches the contact node again, whatever the daemon's
// configuration says.
func (c *Conn) CloseClear(clear bool) error { return c.close(&clear) }

func (c *Conn) close(clear *bool) error {
	c.mu.Lock()
	switch {
	case c.phase == gone:
		c.mu.Unlock()
		return nil
	case c.phase == closed, c.closed:
		c.mu.Unlock()
		return c.opError("close", net.ErrClosed)
	case c.phase == leaving: // the handoff's outcome decides what there is to close
		c.closed = true
		c.changed()
		c.mu.Unlock()
		return nil
	}
	c.phase = closed
	c.changed()
	tcp, abort := c.tcp, c.abort
	c.mu.Unlock()
	return c.closeTCP(tcp, abort, clear)
}

// closeTCP ends the connection. The daemon has a descriptor of it too: what has
// to be waited for is waited for there.
func (c *Conn) closeTCP(tcp *net.TCPConn, abort bool, clear *bool) error {
	if !abort {
		tcp.CloseWrite() // the FIN need not wait for the daemon; a dead connection has none
	}
	err := tcp.Close()
	c.s.forget(c.client, &wire.Message{Kind: wire.KindClose, Client: c.client, Abort: abort, Clear: clear})
	return err
}

// changed wakes all who wait for a change. With c.mu.
func (c *Conn) changed() {
	close(c.wake)
	c.wake = make(chan struct{})
}

// opError dresses an error as a net.TCPConn does.
func (c *Conn) opError(op string, err error) error {
	var already *net.OpError
	if errors.As(err, &already) {
		return err
	}
	return &net.OpError{Op: op, Net: "tcp", Source: c.local, Addr: c.remote, Err: err}
}

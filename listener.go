package vanycast

import (
	"context"
	"net"
	"net/netip"

	"github.com/vanycast/vanycast/api/wire"
)

// Option changes what Listen does.
type Option func(*options)

type options struct {
	socket  string
	req     wire.ListenRequest
	request func(*Conn, netip.Addr)
}

// WithSocket names the daemon's socket; otherwise $VANYCAST_SOCKET does, or it is
// /run/vanycast/api.sock.
func WithSocket(path string) Option { return func(o *options) { o.socket = path } }

// WithPolicy sets the distribution policy of the service at this replica while
// the Listener is open: "local" or "random".
func WithPolicy(name string) Option { return func(o *options) { o.req.Policy = name } }

// WithNeverSelf keeps the policy from selecting this replica as long as there is
// another.
func WithNeverSelf() Option {
	return func(o *options) { o.req.NeverSelf = new(true) }
}

// WithContactOnly leaves clients that connect at another replica than the contact
// node to the application there.
func WithContactOnly() Option {
	return func(o *options) { o.req.ContactOnly = new(true) }
}

// WithHandoffRequests has f called, in a goroutine of its own, when an operator
// wants a client at another replica (vanyctl handoff). It is for f to see to it
// that the client gets there soon: to stop what reads and writes at a point where
// the State is complete, and call Handoff with that target. Without this option
// such a request is refused.
func WithHandoffRequests(f func(c *Conn, target netip.Addr)) Option {
	return func(o *options) { o.req.HandoffRequests, o.request = f != nil, f }
}

// Listener is a net.Listener whose connections are *Conn.
type Listener struct {
	s       *session
	contact netip.AddrPort
}

// Listen makes this process a server of the service, which the daemon's
// configuration describes: from now on clients are distributed to it. The context
// bounds Listen, not the Listener.
func Listen(ctx context.Context, service string, opts ...Option) (*Listener, error) {
	o := options{socket: wire.SocketPath()}
	for _, opt := range opts {
		opt(&o)
	}
	w, contact, err := dial(ctx, o.socket, service, o.req)
	if err != nil {
		return nil, err
	}
	return &Listener{s: newSession(w, o.request), contact: contact}, nil
}

// Accept waits for the next client. The error is net.ErrClosed after Close, and
// ErrDaemonGone if the session ended.
func (l *Listener) Accept() (net.Conn, error) {
	c, err := l.AcceptConn()
	if err != nil {
		return nil, err
	}
	return c, nil
}

// AcceptConn is Accept for those who want a *Conn.
func (l *Listener) AcceptConn() (*Conn, error) { return l.AcceptContext(context.Background()) }

// AcceptContext waits no longer than the context, whose error it returns.
func (l *Listener) AcceptContext(ctx context.Context) (*Conn, error) {
	c, err := l.s.accept(ctx)
	if err != nil {
		return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: l.Addr(), Err: err}
	}
	return c, nil
}

// Close ends the accepting. Accepted clients are not touched.
func (l *Listener) Close() error {
	if err := l.s.unlisten(); err != nil {
		return &net.OpError{Op: "close", Net: "tcp", Addr: l.Addr(), Err: err}
	}
	return nil
}

// Addr is the contact address and port.
func (l *Listener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.contact) }

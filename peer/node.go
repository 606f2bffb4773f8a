package peer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/vanycast/vanycast/internal/crew"
)

// Node is this replica's end of the secure channel. Its methods are safe for
// concurrent use.
type Node struct {
	cfg      Config
	self     netip.Addr
	ours     hello
	ln       *net.TCPListener
	count    counters
	crew     *crew.Crew
	refusals *refusals
	shaking  chan struct{} // one for each handshake of an accepted connection

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu       sync.Mutex
	handlers map[Kind]Handler
	conns    map[netip.Addr][]*conn  // oldest first
	dials    map[netip.Addr]*dialing // under way
	raw      map[net.Conn]struct{}   // TCP connections in their handshake
	closed   bool
}

// maxHandshakes bounds how many accepted connections may be in their handshake
// at once; more are closed unheard.
const maxHandshakes = 64

// maxConns bounds the connections of one peer: two are normal after both sides
// connected at once, more are left over from a peer that was cut off and came
// back. The oldest makes room.
const maxConns = 8

// keptGoroutines is how many wait for the next request.
const keptGoroutines = 64

// Listen opens the channel: peers may connect from now on, and are answered
// CodeUnknownKind until Handle was called.
func Listen(cfg Config) (*Node, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	var lc net.ListenConfig
	lc.SetMultipathTCP(false) // the care-of address is the peer's identity
	ln, err := lc.Listen(context.Background(), "tcp", cfg.Listen.String())
	if err != nil {
		return nil, fmt.Errorf("peer: listen on %s: %w", cfg.Listen, err)
	}
	if cfg.Port == 0 {
		cfg.Port = ln.Addr().(*net.TCPAddr).AddrPort().Port()
	}
	n := &Node{
		cfg: cfg, self: cfg.Listen.Addr().Unmap().WithZone(""), ln: ln.(*net.TCPListener),
		ours:     hello{maxMessage: cfg.MaxMessage, maxInFlight: cfg.MaxInFlight, heartbeat: cfg.Heartbeat},
		crew:     crew.New(keptGoroutines),
		refusals: newRefusals(cfg.RefusalInterval),
		shaking:  make(chan struct{}, maxHandshakes),
		handlers: make(map[Kind]Handler),
		conns:    make(map[netip.Addr][]*conn),
		dials:    make(map[netip.Addr]*dialing),
		raw:      make(map[net.Conn]struct{}),
	}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	n.wg.Add(1)
	go n.acceptLoop()
	return n, nil
}

// Addr is where the node listens.
func (n *Node) Addr() netip.AddrPort {
	return n.ln.Addr().(*net.TCPAddr).AddrPort()
}

// Handle says who answers requests of a kind. A later call replaces the former.
func (n *Node) Handle(kind Kind, h Handler) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.handlers[kind] = h
}

// serve is what connections call for a request.
func (n *Node) serve(ctx context.Context, from netip.Addr, kind Kind, req []byte) ([]byte, error) {
	n.mu.Lock()
	h := n.handlers[kind]
	n.mu.Unlock()
	n.count.served.Add(1)
	if h == nil {
		return nil, &RemoteError{CodeUnknownKind, fmt.Sprintf("no handler for kind %d", kind)}
	}
	return h(ctx, from, req)
}

// Connect returns when a connection to the peer is there, or with ErrUnreachable
// and the reason within ConnectTimeout.
func (n *Node) Connect(ctx context.Context, to netip.Addr) error {
	_, err := n.connection(ctx, to.Unmap().WithZone(""))
	return err
}

// Call sends a request to the peer, connecting first if need be, and returns
// its answer. Errors: *RemoteError, ErrUnreachable (the peer cannot have got
// it), ErrLost (it may have), ErrTooLarge; where ctx ended, its error as well.
// req must not change until Call returns.
func (n *Node) Call(ctx context.Context, to netip.Addr, kind Kind, req []byte) ([]byte, error) {
	to = to.Unmap().WithZone("")
	n.count.calls.Add(1)
	var resp []byte
	var err error
	// A connection that turns out to be dead before the request left is no
	// reason to give up: the second attempt is on a new one.
	for range 2 {
		var c *conn
		if c, err = n.connection(ctx, to); err != nil {
			break
		}
		resp, err = c.call(ctx, kind, req)
		if err == nil || !errors.Is(err, ErrUnreachable) || ctx.Err() != nil {
			break
		}
	}
	switch {
	case errors.Is(err, ErrUnreachable):
		n.count.unreachable.Add(1)
	case errors.Is(err, ErrLost):
		n.count.lost.Add(1)
	}
	return resp, err
}

// closeTimeout bounds how long Close waits for answers to go out.
const closeTimeout = time.Second

// Close ends everything: no more requests are taken, the handlers' contexts end,
// their answers may go out for a second, calls under way return. It returns
// when nothing of the node runs any more, so handlers must heed their context.
func (n *Node) Close() error {
	n.mu.Lock()
	if n.closed {
		n.mu.Unlock()
		n.wg.Wait()
		return nil
	}
	n.closed = true
	var conns []*conn
	for _, list := range n.conns {
		conns = append(conns, list...)
	}
	for c := range n.raw {
		c.Close()
	}
	n.mu.Unlock()
	err := n.ln.Close()

	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	var draining sync.WaitGroup
	for _, c := range conns {
		draining.Go(func() {
			c.drain(ctx)
			c.fail(ErrClosed)
		})
	}
	n.cancel() // dials
	draining.Wait()
	n.wg.Wait()
	n.crew.Close()
	return err
}

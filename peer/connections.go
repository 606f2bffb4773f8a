package peer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// dialing is a connection attempt that any number of callers wait for.
type dialing struct {
	done chan struct{}
	conn *conn
	err  error
}

// connection returns a live connection to the peer, and makes one if there is
// none. Concurrent callers share one attempt.
func (n *Node) connection(ctx context.Context, to netip.Addr) (*conn, error) {
	unreachable := func(err error) error {
		return fmt.Errorf("%w: %s: %w", ErrUnreachable, to, err)
	}
	switch {
	case to == n.self:
		return nil, unreachable(errors.New("that is this replica itself"))
	case !n.cfg.Allowed(to):
		return nil, unreachable(errors.New("not a known replica"))
	}
	n.mu.Lock()
	if n.closed {
		n.mu.Unlock()
		return nil, unreachable(ErrClosed)
	}
	if c := n.pick(to); c != nil {
		n.mu.Unlock()
		return c, nil
	}
	d := n.dials[to]
	if d == nil {
		d = &dialing{done: make(chan struct{})}
		n.dials[to] = d
		n.wg.Add(1)
		go func() {
			defer n.wg.Done()
			n.dial(to, d)
		}()
	}
	n.mu.Unlock()
	select {
	case <-d.done:
		if d.err != nil {
			return nil, unreachable(d.err)
		}
		return d.conn, nil
	case <-ctx.Done():
		return nil, unreachable(context.Cause(ctx))
	}
}

// pick chooses among a peer's live connections. After both sides connected at
// once there are two; both choose the one that the lower address dialed, so
// that the other is a mere spare. The newest of these is the one that the peer
// surely knows. The caller holds mu.
func (n *Node) pick(to netip.Addr) *conn {
	var best *conn
	wantDialed := n.self.Less(to)
	for _, c := range n.conns[to] {
		if c.alive() && (best == nil || c.dialed == wantDialed || best.dialed != wantDialed) {
			best = c
		}
	}
	return best
}

// dial makes one attempt to connect.
func (n *Node) dial(to netip.Addr, d *dialing) {
	ctx, cancel := context.WithTimeoutCause(n.ctx, n.cfg.ConnectTimeout, fmt.Errorf("no connection within %v", n.cfg.ConnectTimeout))
	defer cancel()
	d.conn, d.err = n.connect(ctx, to)
	n.mu.Lock()
	delete(n.dials, to)
	n.mu.Unlock()
	if d.err != nil {
		n.count.dialFailures.Add(1)
		if h := new(handshakeError); errors.As(d.err, &h) && n.refusals.shouldLog(to, time.Now()) {
			n.cfg.Logger.Warn("peer: connection to replica failed", "to", to, "err", d.err)
		}
	} else {
		n.count.dialed.Add(1)
	}
	close(d.done)
}

func (n *Node) connect(ctx context.Context, to netip.Addr) (*conn, error) {
	dialer := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(n.cfg.Listen.Addr(), 0)), Control: n.cfg.Control}
	dialer.SetMultipathTCP(false)
	tcp, err := dialer.DialContext(ctx, "tcp", netip.AddrPortFrom(to, n.cfg.Port).String())
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = fmt.Errorf("%w (%w)", cause, err)
		}
		return nil, err
	}
	return n.establish(ctx, tcp, to, true)
}

// establish does the handshake on a TCP connection and puts it to work.
func (n *Node) establish(ctx context.Context, tcp net.Conn, remote netip.Addr, dialed bool) (*conn, error) {
	n.mu.Lock()
	if n.closed {
		n.mu.Unlock()
		tcp.Close()
		return nil, ErrClosed
	}
	n.raw[tcp] = struct{}{}
	n.mu.Unlock()
	c, err := n.secure(ctx, tcp, remote, dialed)
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.raw, tcp)
	if err == nil && n.closed {
		err = ErrClosed
	}
	if err != nil {
		tcp.Close()
		if cause := context.Cause(ctx); cause != nil {
			err = fmt.Errorf("%w (%w)", cause, err)
		}
		return nil, err
	}
	n.add(c)
	return c, nil
}

// add puts a connection to work. The caller holds mu.
func (n *Node) add(c *conn) {
	list := append(n.conns[c.peer], c)
	if len(list) > maxConns {
		old := list[0]
		n.wg.Go(func() { old.fail(errors.New("superseded by newer connections")) })
	}
	n.conns[c.peer] = list
	n.wg.Go(func() {
		err := c.run()
		n.remove(c)
		if breach := new(ProtocolError); errors.As(err, &breach) {
			n.count.protocolErrors.Add(1)
			n.cfg.Logger.Warn("peer: connection closed", "peer", c.peer, "err", err)
			return
		}
		n.cfg.Logger.Debug("peer: connection ended", "peer", c.peer, "err", err)
	})
}

// remove forgets a connection that is over.
func (n *Node) remove(c *conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	list := n.conns[c.peer]
	for i, x := range list {
		if x == c {
			list = append(list[:i:i], list[i+1:]...)
			break
		}
	}
	if len(list) == 0 {
		delete(n.conns, c.peer)
		return
	}
	n.conns[c.peer] = list
}

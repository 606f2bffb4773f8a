package ipsec

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/mhsock"
)

// Wire is where ESP packets come from, and where what a home agent sends on goes
// to; *mhsock.ESP is one.
type Wire interface {
	Receive(context.Context) (mhsock.Received, error)
	Forward(packet []byte, dst netip.Addr) error
	Close() error
}

// pollEvery is how often the Endpoint is polled.
const pollEvery = time.Second

// Conn is a mhsock.Conn with the policy of an Endpoint: what is sent through it
// is protected where it must be, what comes out of it was, and all that a role
// sees of ESP is that it may trust what it gets.
type Conn struct {
	endpoint *Endpoint
	clear    mhsock.Conn
	wire     Wire
	log      *slog.Logger

	received chan mhsock.Received
	ctx      context.Context
	stop     context.CancelFunc
	loops    sync.WaitGroup

	mu     sync.Mutex
	failed error // what ended a loop before Close
}

var _ mhsock.Conn = (*Conn)(nil)

// NewConn puts the endpoint between a role and its sockets, which are closed with
// it.
func NewConn(e *Endpoint, clear mhsock.Conn, wire Wire) *Conn {
	c := &Conn{endpoint: e, clear: clear, wire: wire, log: e.log, received: make(chan mhsock.Received)}
	c.ctx, c.stop = context.WithCancel(context.Background())
	c.loops.Go(func() { c.end(c.pumpClear()) })
	c.loops.Go(func() { c.end(c.pumpESP()) })
	c.loops.Go(func() { e.pollUntil(c.ctx) })
	return c
}

// Send implements mhsock.Conn.
func (c *Conn) Send(p *mipv6.Packet) error {
	protected, err := c.endpoint.Protect(p)
	if err != nil {
		return err
	}
	return c.clear.Send(protected)
}

// Receive implements mhsock.Conn.
func (c *Conn) Receive(ctx context.Context) (mhsock.Received, error) {
	select {
	case r := <-c.received:
		return r, nil
	case <-ctx.Done():
		return mhsock.Received{}, ctx.Err()
	case <-c.ctx.Done():
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.failed != nil {
			return mhsock.Received{}, c.failed
		}
		return mhsock.Received{}, net.ErrClosed
	}
}

// ReceiveError implements mhsock.Conn. An error about an ESP packet does not show
// what was in it, so nobody could tell a forged one; there is none.
func (c *Conn) ReceiveError(ctx context.Context) (mhsock.ICMPError, error) {
	return c.clear.ReceiveError(ctx)
}

// Close implements mhsock.Conn. How far the receivers came is saved.
func (c *Conn) Close() error {
	c.stop()
	err := errors.Join(c.wire.Close(), c.clear.Close())
	c.loops.Wait()
	c.endpoint.Poll(time.Now())
	return err
}

// end notes what ended a loop, and ends the others.
func (c *Conn) end(err error) {
	if c.ctx.Err() != nil {
		return
	}
	c.mu.Lock()
	c.failed = errors.Join(c.failed, err)
	c.mu.Unlock()
	c.stop()
}

// pumpClear passes on what came in clear and may.
func (c *Conn) pumpClear() error {
	for {
		r, err := c.clear.Receive(c.ctx)
		if err != nil {
			return err
		}
		if err := c.endpoint.Admit(time.Now(), r); err != nil {
			c.log.Debug("mobility header dropped", "err", err)
			continue
		}
		c.pass(r)
	}
}

// pumpESP opens what comes in ESP.
func (c *Conn) pumpESP() error {
	for {
		r, err := c.wire.Receive(c.ctx)
		if err != nil {
			return err
		}
		o, err := c.endpoint.Open(time.Now(), r)
		switch {
		case err != nil:
			c.log.Debug("ESP packet dropped", "from", r.Source(), "err", err)
		case o.Forward != nil:
			if err := c.wire.Forward(o.Forward, o.Dst); err != nil {
				c.log.Debug("mobility header of a mobile node not sent on", "err", err)
			}
		default:
			c.pass(o.Received)
		}
	}
}

func (c *Conn) pass(r mhsock.Received) {
	select {
	case c.received <- r:
	case <-c.ctx.Done():
	}
}

// Forward is for a home agent: it sends the packets of taken, Mobility Headers to
// registered home addresses, to where those are registered, until taken is closed
// or Close.
func (c *Conn) Forward(taken <-chan []byte) {
	c.loops.Go(func() {
		for {
			select {
			case <-c.ctx.Done():
				return
			case packet, ok := <-taken:
				if !ok {
					return
				}
				p, err := c.endpoint.ProtectForwarded(packet)
				if err == nil {
					err = c.clear.Send(p)
				}
				if err != nil {
					c.log.Debug("mobility header to a mobile node not sent on", "err", err)
				}
			}
		}
	})
}

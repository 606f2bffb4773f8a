package ipsec

import (
	"context"
	"sync"
	"time"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/mhsock"
)

// Marker is a mhsock.Conn that marks packets for the kernel's policies;
// *mhsock.Socket is one.
type Marker interface {
	mhsock.Conn
	SendMarked(p *mipv6.Packet, mark uint32) error
}

// KernelConn is what Conn is, where the kernel has ESP: it protects what is
// marked, and drops what came in clear and must not.
type KernelConn struct {
	Marker
	endpoint *Endpoint
	stop     context.CancelFunc
	loop     sync.WaitGroup
}

var _ mhsock.Conn = (*KernelConn)(nil)

// NewKernelConn puts an endpoint that has a Kernel between a role and its
// sockets, which are closed with it.
func NewKernelConn(e *Endpoint, m Marker) *KernelConn {
	ctx, stop := context.WithCancel(context.Background())
	c := &KernelConn{Marker: m, endpoint: e, stop: stop}
	c.loop.Go(func() { e.pollUntil(ctx) })
	return c
}

// Send implements mhsock.Conn.
func (c *KernelConn) Send(p *mipv6.Packet) error {
	mark, err := c.endpoint.Mark(p)
	if err != nil {
		return err
	}
	return c.SendMarked(p, mark)
}

// Receive implements mhsock.Conn.
func (c *KernelConn) Receive(ctx context.Context) (mhsock.Received, error) {
	for {
		r, err := c.Marker.Receive(ctx)
		if err != nil {
			return r, err
		}
		if err := c.endpoint.Admit(time.Now(), r); err == nil {
			return r, nil
		}
	}
}

// Close implements mhsock.Conn. How far the kernel came is saved.
func (c *KernelConn) Close() error {
	c.stop()
	c.loop.Wait()
	c.endpoint.Poll(time.Now())
	return c.Marker.Close()
}

// pollUntil polls until ctx ends.
func (e *Endpoint) pollUntil(ctx context.Context) {
	t := time.NewTicker(pollEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-t.C:
			e.Poll(now)
		}
	}
}

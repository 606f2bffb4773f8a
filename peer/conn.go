package peer

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"time"

	"github.com/vanycast/vanycast/internal/crew"
)

// conn is one connection whose peer is proven. Three kinds of goroutines work
// on it: one reads, one writes, and one per request that is worked on.
type conn struct {
	nc     net.Conn
	peer   netip.Addr
	dialed bool  // by this side
	theirs hello // what the peer announced
	ours   hello
	crew   *crew.Crew // for the requests
	serve  func(ctx context.Context, from netip.Addr, kind Kind, req []byte) ([]byte, error)
	count  *counters

	ctx    context.Context // ends with the connection
	cancel context.CancelCauseFunc
	slots  chan struct{} // one for each call that may be under way
	wake   chan struct{} // there is something to write
	budget *budget
	parts  *assembler
	wg     sync.WaitGroup

	mu      sync.Mutex
	queue   sendQueue
	calls   map[uint64]*call
	running map[uint64]context.CancelFunc
	lastID  uint64
	writing bool  // what left the queue is not on the wire yet
	closing bool  // takes no more requests
	failed  error // why it is over
}

func newConn(nc net.Conn, peer netip.Addr, dialed bool, ours, theirs hello, count *counters, workers *crew.Crew,
	serve func(context.Context, netip.Addr, Kind, []byte) ([]byte, error)) *conn {
	ctx, cancel := context.WithCancelCause(context.Background())
	c := &conn{
		nc: nc, peer: peer, dialed: dialed, ours: ours, theirs: theirs, serve: serve, count: count, crew: workers, ctx: ctx, cancel: cancel,
		slots:   make(chan struct{}, min(ours.maxInFlight, theirs.maxInFlight)),
		wake:    make(chan struct{}, 1),
		budget:  newBudget(2 * ours.maxMessage),
		calls:   make(map[uint64]*call),
		running: make(map[uint64]context.CancelFunc),
	}
	c.parts = newAssembler(ours.maxMessage, ours.maxInFlight, c.budget, c.awaited)
	return c
}

// run works until the connection is over, and returns why it is.
func (c *conn) run() error {
	c.wg.Add(1)
	go func() {
		defer c.wg.Done()
		c.fail(c.writeLoop())
	}()
	c.fail(c.readLoop())
	c.wg.Wait()
	return c.reason()
}

// fail ends the connection: every call ends, and every handler's context. The
// first reason is kept.
func (c *conn) fail(err error) {
	c.mu.Lock()
	if c.failed != nil {
		c.mu.Unlock()
		return
	}
	c.failed = err
	calls := c.calls
	c.calls = nil
	c.queue = sendQueue{}
	c.mu.Unlock()

	c.cancel(err)
	c.nc.Close()
	for _, call := range calls {
		call.end(nil, c.lost(call.out.whole, err))
	}
}

// lost makes a call's error out of the connection's.
func (c *conn) lost(whole bool, err error) error {
	if whole {
		return fmt.Errorf("%w: %s: %w", ErrLost, c.peer, err)
	}
	return fmt.Errorf("%w: %s: %w", ErrUnreachable, c.peer, err)
}

func (c *conn) reason() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failed
}

func (c *conn) alive() bool { return c.reason() == nil }

// enqueue gives a message to the writer. The caller holds mu.
func (c *conn) enqueue(m *outgoing) {
	c.queue.push(m)
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// writeLoop sends what is queued, as much at once as fits into a batch, and a
// ping when there was nothing to send for a heartbeat.
func (c *conn) writeLoop() error {
	const batch = maxFragment + headerLen
	buf := make([]byte, 0, batch)
	heartbeat := time.NewTimer(c.ours.heartbeat)
	defer heartbeat.Stop()
	for {
		c.mu.Lock()
		buf = c.queue.fill(buf[:0], batch)
		c.writing = len(buf) > 0
		c.mu.Unlock()
		if len(buf) == 0 {
			select {
			case <-c.ctx.Done():
				return context.Cause(c.ctx)
			case <-c.wake:
				// Who is about to enqueue more may go first: one record and one
				// segment for many messages.
				runtime.Gosched()
				continue
			case <-heartbeat.C:
				buf = header{typ: framePing}.append(buf)
			}
		}
		heartbeat.Reset(c.ours.heartbeat)
		// A peer that reads nothing for so long is as good as dead: its
		// reader never waits for anything but the wire.
		c.nc.SetWriteDeadline(time.Now().Add(deadHeartbeats * c.theirs.heartbeat))
		n, err := c.nc.Write(buf)
		c.count.bytesOut.Add(uint64(n))
		if err != nil {
			return fmt.Errorf("writing: %w", err)
		}
	}
}

// readLoop takes frames until the connection fails or the peer falls silent. It
// never waits for a handler or a caller.
func (c *conn) readLoop() error {
	buf := make([]byte, headerLen+maxFragment)
	for {
		c.nc.SetReadDeadline(time.Now().Add(deadHeartbeats * c.theirs.heartbeat))
		h, payload, err := readFrame(c.nc, buf)
		if err != nil {
			return fmt.Errorf("reading: %w", err)
		}
		c.count.bytesIn.Add(uint64(headerLen + len(payload)))
		if err := c.receive(h, payload); err != nil {
			return err
		}
	}
}

// maxBacklog bounds what waits for the writer, in multiples of maxInFlight:
// calls, their cancels, answers and refusals.
const maxBacklog = 4

func (c *conn) backlog() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.queue.q)
}

// receive acts on one frame.
func (c *conn) receive(h header, payload []byte) error {
	switch h.typ {
	case framePing:
		return nil
	case frameHello:
		return &ProtocolError{"a second hello"}
	case frameCancel:
		c.cancelled(h.id)
		return nil
	}
	m, err := c.parts.add(h, payload)
	if err != nil {
		return err
	}
	if c.backlog() > maxBacklog*c.ours.maxInFlight {
		return &ProtocolError{"peer does not read the answers"}
	}
	if h.typ == frameRequest {
		if m == nil {
			return nil
		}
		return c.accept(m)
	}
	if h.more {
		return nil
	}
	return c.answered(h.id, m)
}

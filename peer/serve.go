package peer

import (
	"context"
	"fmt"
	"time"
)

// accept starts work on a whole request.
func (c *conn) accept(m *message) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed != nil {
		return c.failed
	}
	if c.running[m.id] != nil {
		return &ProtocolError{fmt.Sprintf("request %d twice", m.id)}
	}
	if len(c.running) >= c.ours.maxInFlight {
		return &ProtocolError{fmt.Sprintf("more than %d requests at once", c.ours.maxInFlight)}
	}
	switch {
	case m.refused:
		c.refuse(m.id, CodeBusy, "no memory for the request")
		return nil
	case c.closing:
		c.budget.release(len(m.body))
		c.refuse(m.id, CodeClosing, "closing")
		return nil
	}
	ctx, cancel := context.WithCancel(c.ctx)
	c.running[m.id] = cancel
	c.wg.Add(1)
	c.crew.Go(func() {
		defer c.wg.Done()
		c.work(ctx, m)
	})
	return nil
}

// work runs the handler and queues its answer.
func (c *conn) work(ctx context.Context, m *message) {
	size := len(m.body)
	resp, err := c.serve(ctx, c.peer, m.kind, m.body)
	c.budget.release(size)
	out := &outgoing{typ: frameResponse, id: m.id, body: resp}
	if err == nil && len(resp) > c.theirs.maxMessage {
		err = fmt.Errorf("answer of %d bytes, the caller takes %d", len(resp), c.theirs.maxMessage)
	}
	if err != nil {
		out.typ, out.body = frameError, remoteError(err).marshal()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running[m.id]()
	delete(c.running, m.id)
	if c.failed == nil {
		c.enqueue(out)
	}
}

// refuse answers without work. The caller holds mu.
func (c *conn) refuse(id uint64, code uint16, text string) {
	c.enqueue(&outgoing{typ: frameError, id: id, body: (&RemoteError{Code: code, Text: text}).marshal()})
}

// cancelled acts on a cancel frame: a request that is not whole is answered
// with an error, the handler of a whole one is told and answers by itself; one
// that is answered already needs nothing.
func (c *conn) cancelled(id uint64) {
	unfinished := c.parts.dropRequest(id)
	c.mu.Lock()
	defer c.mu.Unlock()
	if unfinished && c.failed == nil {
		c.refuse(id, CodeCancelled, "cancelled")
	}
	if cancel := c.running[id]; cancel != nil {
		cancel()
	}
}

// drain refuses new requests, tells the handlers to end, lets their answers go
// out and tells the peer that nothing follows; all that for as long as ctx
// lasts.
func (c *conn) drain(ctx context.Context) {
	c.mu.Lock()
	c.closing = true
	for _, cancel := range c.running {
		cancel()
	}
	c.mu.Unlock()
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	said := false
	for {
		c.mu.Lock()
		over := c.failed != nil
		idle := len(c.running) == 0 && c.queue.empty() && !c.writing
		c.mu.Unlock()
		if over {
			return
		}
		if half, ok := c.nc.(interface{ CloseWrite() error }); idle && !said && ok {
			// Closing at once would reset the connection if unread frames
			// are left, and the reset would overtake the answers: let the
			// peer close first.
			half.CloseWrite()
			said = true
		}
		select {
		case <-ctx.Done():
			return
		case <-poll.C:
		}
	}
}

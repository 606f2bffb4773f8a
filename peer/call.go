package peer

import (
	"context"
	"fmt"
)

// call is one request of ours. It is in conn.calls from its begin to the frame
// that answers it, also when its caller has given it up: every request that the
// peer has begun to get is answered once, and only then its slot is free. So
// neither side ever works on more than was agreed.
type call struct {
	out       *outgoing
	done      chan struct{} // closed when resp or err is there
	abandoned bool          // nobody waits; guarded by conn.mu
	resp      []byte
	err       error
}

func (c *call) end(resp []byte, err error) {
	c.resp, c.err = resp, err
	close(c.done)
}

// call sends a request and waits for its answer.
func (c *conn) call(ctx context.Context, kind Kind, req []byte) ([]byte, error) {
	if len(req) > c.theirs.maxMessage {
		return nil, fmt.Errorf("%w: %d bytes, %s takes %d", ErrTooLarge, len(req), c.peer, c.theirs.maxMessage)
	}
	select {
	case c.slots <- struct{}{}:
	case <-c.ctx.Done():
		return nil, c.lost(false, context.Cause(c.ctx))
	case <-ctx.Done():
		return nil, c.lost(false, context.Cause(ctx))
	}
	k, err := c.begin(kind, req)
	if err != nil {
		<-c.slots
		return nil, err
	}
	select {
	case <-k.done:
		return k.resp, k.err
	case <-ctx.Done():
		return c.abandon(k, context.Cause(ctx))
	}
}

func (c *conn) begin(kind Kind, req []byte) (*call, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed != nil {
		return nil, c.lost(false, c.failed)
	}
	c.lastID++
	k := &call{out: &outgoing{typ: frameRequest, kind: kind, id: c.lastID, body: req}, done: make(chan struct{})}
	c.calls[c.lastID] = k
	c.enqueue(k.out)
	return k, nil
}

// abandon ends a call early. If nothing of it went out, it never was; else the
// peer is told, and the slot stays taken until it answers.
func (c *conn) abandon(k *call, cause error) ([]byte, error) {
	c.mu.Lock()
	if c.calls[k.out.id] != k { // answered, or failed, just now
		c.mu.Unlock()
		<-k.done
		return k.resp, k.err
	}
	unsent := !k.out.whole && c.queue.remove(k.out)
	if unsent && !k.out.begun {
		delete(c.calls, k.out.id)
		c.mu.Unlock()
		<-c.slots
		return nil, c.lost(false, cause)
	}
	k.abandoned = true
	c.enqueue(&outgoing{typ: frameCancel, id: k.out.id})
	c.mu.Unlock()
	c.parts.dropResponse(k.out.id)
	return nil, c.lost(!unsent, cause)
}

// awaited tells the assembler whether to keep a response.
func (c *conn) awaited(id uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.calls[id]
	return k != nil && !k.abandoned
}

// answered ends the call that the last frame of an answer belongs to; m is nil
// if nobody waits for it.
func (c *conn) answered(id uint64, m *message) error {
	c.mu.Lock()
	k := c.calls[id]
	if k == nil || !k.abandoned && !k.out.whole {
		failed := c.failed
		c.mu.Unlock()
		if failed != nil {
			return failed
		}
		return &ProtocolError{fmt.Sprintf("answer to call %d, which the peer cannot have got", id)}
	}
	delete(c.calls, id)
	abandoned := k.abandoned
	c.mu.Unlock()
	<-c.slots
	switch {
	case m == nil || abandoned:
		if m != nil {
			c.budget.release(len(m.body))
		}
	case m.refused:
		k.end(nil, fmt.Errorf("%w: %s: no memory for the answer", ErrLost, c.peer))
	case m.typ == frameError:
		c.budget.release(len(m.body))
		remote, err := parseRemoteError(m.body)
		if err != nil {
			k.end(nil, c.lost(true, err))
			return err
		}
		k.end(nil, remote)
	default:
		c.budget.release(len(m.body)) // the caller's memory from here on
		k.end(m.body, nil)
	}
	return nil
}

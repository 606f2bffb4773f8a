package vanycast

import (
	"errors"
	"io"
	"net"
	"os"
	"time"
)

// begin starts an operation on the socket. While a handoff is under way it waits
// for the outcome, but no longer than the deadline, which may change meanwhile.
// Each begin without an error is followed by an end.
func (c *Conn) begin(deadline *time.Time) (*net.TCPConn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.phase == leaving {
		if c.closed {
			return nil, net.ErrClosed
		}
		var expired <-chan time.Time
		var timer *time.Timer
		if deadline != nil && !deadline.IsZero() {
			left := time.Until(*deadline)
			if left <= 0 {
				return nil, os.ErrDeadlineExceeded
			}
			timer = time.NewTimer(left)
			expired = timer.C
		}
		wake := c.wake
		c.mu.Unlock()
		select {
		case <-wake:
		case <-expired:
		}
		if timer != nil {
			timer.Stop()
		}
		c.mu.Lock()
	}
	switch c.phase {
	case gone:
		return nil, ErrHandedOff
	case closed:
		return nil, net.ErrClosed
	}
	c.active++
	return c.tcp, nil
}

// end ends an operation and tells whether it was a handoff that interrupted it,
// so that it is to be begun again.
func (c *Conn) end(err error) (again bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.active--
	if c.phase != leaving {
		return false
	}
	if c.active == 0 && c.idle != nil {
		close(c.idle)
		c.idle = nil
	}
	return errors.Is(err, os.ErrDeadlineExceeded)
}

// Read reads what the client sent.
func (c *Conn) Read(b []byte) (int, error) {
	for {
		tcp, err := c.begin(&c.rd)
		if err != nil {
			return 0, c.opError("read", err)
		}
		n, err := tcp.Read(b)
		if again := c.end(err); !again || n > 0 {
			return n, err
		}
	}
}

// Write sends to the client. If a handoff interrupts it for good, the error is
// ErrHandedOff, and the bytes counted travel to the client all the same.
func (c *Conn) Write(b []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	written := 0
	for {
		tcp, err := c.begin(&c.wd)
		if err != nil {
			return written, c.opError("write", err)
		}
		n, err := tcp.Write(b[written:])
		written += n
		if again := c.end(err); !again {
			return written, err
		}
	}
}

// copySize is how much ReadFrom moves at once, in bytes.
const copySize = 32 << 10

// ReadFrom copies from r until its end; regular files by sendfile. It never has
// bytes of a connection in the kernel's hands that neither side owns, as splice
// does, for a handoff may come at any moment.
func (c *Conn) ReadFrom(r io.Reader) (int64, error) {
	f, limit := regularFile(r)
	if f == nil {
		return io.CopyBuffer(writerOnly{c}, r, make([]byte, copySize))
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	var copied int64
	for {
		at, err := f.Seek(0, io.SeekCurrent)
		if err != nil {
			return copied, err
		}
		left := int64(-1)
		if limit != nil {
			left = limit.N
		}
		tcp, err := c.begin(&c.wd)
		if err != nil {
			return copied, c.opError("readfrom", err)
		}
		n, err := tcp.ReadFrom(r)
		copied += n
		if again := c.end(err); !again {
			return copied, err
		}
		// What was read but not sent is to be read again.
		if _, err := f.Seek(at+n, io.SeekStart); err != nil {
			return copied, err
		}
		if limit != nil {
			limit.N = left - n
		}
	}
}

// writerOnly hides ReadFrom from io.Copy.
type writerOnly struct{ io.Writer }

// regularFile gives the regular file that r is, or that it is the beginning of.
func regularFile(r io.Reader) (*os.File, *io.LimitedReader) {
	limit, _ := r.(*io.LimitedReader)
	if limit != nil {
		r = limit.R
	}
	f, ok := r.(*os.File)
	if !ok {
		return nil, nil
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil, nil
	}
	return f, limit
}

// SetDeadline sets both deadlines.
func (c *Conn) SetDeadline(t time.Time) error {
	return c.setDeadlines(t, true, true)
}

// SetReadDeadline sets when waiting Reads return os.ErrDeadlineExceeded.
func (c *Conn) SetReadDeadline(t time.Time) error {
	return c.setDeadlines(t, true, false)
}

// SetWriteDeadline sets the same for Writes.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	return c.setDeadlines(t, false, true)
}

func (c *Conn) setDeadlines(t time.Time, read, write bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch c.phase {
	case gone:
		return c.opError("set", ErrHandedOff)
	case closed:
		return c.opError("set", net.ErrClosed)
	}
	if read {
		c.rd = t
	}
	if write {
		c.wd = t
	}
	if c.phase == leaving { // they count again when the handoff failed
		c.changed()
		return nil
	}
	return c.applyDeadlines(read, write)
}

// applyDeadlines gives them to the socket. With c.mu.
func (c *Conn) applyDeadlines(read, write bool) error {
	if read {
		if err := c.tcp.SetReadDeadline(c.rd); err != nil {
			return err
		}
	}
	if write {
		return c.tcp.SetWriteDeadline(c.wd)
	}
	return nil
}

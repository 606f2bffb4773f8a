package vanycast

import (
	"net"
	"syscall"
)

// do runs something short on the socket.
func (c *Conn) do(op string, f func(*net.TCPConn) error) error {
	tcp, err := c.begin(nil)
	if err != nil {
		return c.opError(op, err)
	}
	err = f(tcp)
	c.end(nil)
	return err
}

// CloseRead shuts down the reading side.
func (c *Conn) CloseRead() error {
	return c.do("close", (*net.TCPConn).CloseRead)
}

// CloseWrite sends a FIN: the client reads to the end, and may go on sending.
func (c *Conn) CloseWrite() error {
	return c.do("close", (*net.TCPConn).CloseWrite)
}

// SetNoDelay is net.TCPConn's, as are those that follow. What they set travels
// with the client in a handoff.
func (c *Conn) SetNoDelay(noDelay bool) error {
	return c.do("set", func(t *net.TCPConn) error { return t.SetNoDelay(noDelay) })
}

// SetKeepAlive: see net.TCPConn.
func (c *Conn) SetKeepAlive(keepalive bool) error {
	return c.do("set", func(t *net.TCPConn) error { return t.SetKeepAlive(keepalive) })
}

// SetKeepAliveConfig: see net.TCPConn.
func (c *Conn) SetKeepAliveConfig(config net.KeepAliveConfig) error {
	return c.do("set", func(t *net.TCPConn) error { return t.SetKeepAliveConfig(config) })
}

// SetReadBuffer sets the size of the receive buffer, in bytes.
func (c *Conn) SetReadBuffer(bytes int) error {
	return c.do("set", func(t *net.TCPConn) error { return t.SetReadBuffer(bytes) })
}

// SetWriteBuffer sets the size of the send buffer, in bytes.
func (c *Conn) SetWriteBuffer(bytes int) error {
	return c.do("set", func(t *net.TCPConn) error { return t.SetWriteBuffer(bytes) })
}

// SetLinger with 0 makes Close reset the connection. Any other number, of
// seconds, has no effect: Close never waits, and what was written is sent in any
// case.
func (c *Conn) SetLinger(sec int) error {
	return c.do("set", func(*net.TCPConn) error {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.abort = sec == 0
		return nil
	})
}

// SyscallConn gives access to the descriptor. Its functions wait while a handoff
// is under way, and fail after one. A descriptor that was got out of it by dup
// must be closed before a Handoff.
func (c *Conn) SyscallConn() (syscall.RawConn, error) {
	return rawConn{c}, nil
}

type rawConn struct{ c *Conn }

func (r rawConn) Control(f func(fd uintptr)) error {
	return r.c.do("raw-control", func(t *net.TCPConn) error {
		raw, err := t.SyscallConn()
		if err != nil {
			return err
		}
		return raw.Control(f)
	})
}

func (r rawConn) Read(f func(fd uintptr) bool) error {
	for {
		tcp, err := r.c.begin(&r.c.rd)
		if err != nil {
			return r.c.opError("raw-read", err)
		}
		raw, err := tcp.SyscallConn()
		if err == nil {
			err = raw.Read(f)
		}
		if again := r.c.end(err); !again {
			return err
		}
	}
}

func (r rawConn) Write(f func(fd uintptr) bool) error {
	for {
		tcp, err := r.c.begin(&r.c.wd)
		if err != nil {
			return r.c.opError("raw-write", err)
		}
		raw, err := tcp.SyscallConn()
		if err == nil {
			err = raw.Write(f)
		}
		if again := r.c.end(err); !again {
			return err
		}
	}
}

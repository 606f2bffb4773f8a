package benchmark

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/vanycast/vanycast/tcpcp"
	"github.com/vanycast/vanycast/tcpcp/internal/loopback"
)

// isolated runs f on a thread in a network namespace of its own, which is gone
// afterwards.
func isolated(f func() error) error {
	done := make(chan error)
	go func() {
		// The thread ends with the goroutine, and the namespace with its sockets.
		runtime.LockOSThread()
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			err = loopback.Up()
		}
		if err == nil {
			// A window that takes the whole queue at once; the file is that of the
			// thread's namespace.
			err = os.WriteFile("/proc/sys/net/ipv4/tcp_rmem", []byte("4096 1048576 33554432"), 0)
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}

// connection is one of ::1 with itself, whose server end is moved about.
type connection struct {
	client, server int
	buffers        tcpcp.Buffers
	deaf           *tcpcp.Frozen // the client, so that the queues stay as they are
}

func newConnection(queue int) (c *connection, err error) {
	c = &connection{client: -1, server: -1}
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	if c.client, c.server, err = loopback.Connect(); err != nil {
		return nil, fmt.Errorf("a connection to move: %w", err)
	}
	if queue == 0 {
		return c, nil
	}
	if _, err := unix.Write(c.client, make([]byte, queue)); err != nil {
		return nil, err
	}
	for unread := 0; unread < queue; {
		if unread, err = unix.IoctlGetInt(c.server, unix.SIOCINQ); err != nil {
			return nil, err
		}
	}
	if c.deaf, err = tcpcp.Freeze(c.client); err != nil {
		return nil, err
	}
	if n, err := unix.Write(c.server, make([]byte, queue)); err != nil || n != queue {
		return nil, fmt.Errorf("filling the send queue: %d bytes, %w", n, err)
	}
	return c, nil
}

// move is what is measured.
func (c *connection) move() error {
	e, err := c.take()
	if err != nil {
		return err
	}
	return c.put(e)
}

// take is the donor's half.
func (c *connection) take() (*tcpcp.Endpoint, error) {
	f, err := tcpcp.Freeze(c.server)
	if err != nil {
		return nil, err
	}
	e, err := f.ExtractInto(&c.buffers)
	if err != nil {
		return nil, errors.Join(err, f.Thaw())
	}
	c.server = -1
	return e, f.Forget()
}

// put is the acceptor's half.
func (c *connection) put(e *tcpcp.Endpoint) error {
	i, err := tcpcp.Insert(e)
	if err != nil {
		return err
	}
	if c.server, err = i.Activate(); err != nil {
		return errors.Join(err, i.Abort())
	}
	return nil
}

func (c *connection) close() {
	if c.deaf != nil {
		// Closes the client's descriptor; it ends with its namespace anyway.
		_ = c.deaf.Forget()
		c.client = -1
	}
	for _, fd := range []int{c.client, c.server} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

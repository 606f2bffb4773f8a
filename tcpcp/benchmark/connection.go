package benchmark

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/vanycast/vanycast/tcpcp"
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
			err = loopbackUp()
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

// loopbackUp makes ::1 usable.
func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr)
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
	if err := c.connect(); err != nil {
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

func (c *connection) connect() error {
	ln, err := unix.Socket(unix.AF_INET6, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(ln)
	if err := unix.Bind(ln, &unix.SockaddrInet6{Addr: [16]byte{15: 1}}); err != nil {
		return err
	}
	if err := unix.Listen(ln, 1); err != nil {
		return err
	}
	to, err := unix.Getsockname(ln)
	if err != nil {
		return err
	}
	if c.client, err = unix.Socket(unix.AF_INET6, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return err
	}
	if err := unix.Connect(c.client, to); err != nil {
		return err
	}
	c.server, _, err = unix.Accept4(ln, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
	return err
}

// move is what is measured.
func (c *connection) move() error {
	f, err := tcpcp.Freeze(c.server)
	if err != nil {
		return err
	}
	e, err := f.ExtractInto(&c.buffers)
	if err != nil {
		return errors.Join(err, f.Thaw())
	}
	c.server = -1
	if err := f.Forget(); err != nil {
		return err
	}
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

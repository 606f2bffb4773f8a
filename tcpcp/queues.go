package tcpcp

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// Buffers are memory for the queues of one endpoint after another: what is
// moved often need not be garbage each time. The zero value is ready.
type Buffers struct {
	send, receive []byte
}

// sized is n bytes of *b, which grows if it has to.
func sized(b *[]byte, n int) []byte {
	if cap(*b) < n {
		*b = make([]byte, n)
	}
	return (*b)[:n:n]
}

// peekReceived copies the unread bytes of the selected receive queue, and finds
// out whether more can come.
func (f *Frozen) peekReceived(e *Endpoint, b *Buffers, charged uint32) error {
	e.Received = nil
	if charged > 0 {
		return f.peekUnread(e, b)
	}
	if e.ReadShut {
		return nil
	}
	// Nothing is charged to the queue: reading says whether its end is reached.
	var one [1]byte
	switch n, errno := peek(f.fd, one[:]); {
	case errno == unix.EAGAIN:
		return nil
	case errno != 0:
		return &callError{"recv MSG_PEEK (receive queue)", errno}
	case n == 0:
		e.ReadShut = true
		return nil
	default: // a segment came out of the backlog just now
		return f.peekUnread(e, b)
	}
}

// peekUnread copies a receive queue that holds something: bytes, a FIN, or
// segments out of order (which the peer will send again).
func (f *Frozen) peekUnread(e *Endpoint, b *Buffers) error {
	// Urgent data ends a peek early, and hides what is behind it from SIOCINQ
	// unless it is in line.
	if !f.inlined {
		inline, err := optOOBInline.getBool(f.fd)
		if err != nil {
			return err
		}
		if !inline {
			if err := optOOBInline.set(f.fd, 1); err != nil {
				return err
			}
			f.inlined = true
		}
	}
	unread, err := ioctlInt(f.fd, unix.SIOCINQ, "SIOCINQ")
	if err != nil {
		return err
	}
	mark, err := ioctlInt(f.fd, unix.SIOCATMARK, "SIOCATMARK")
	if err != nil {
		return err
	}
	if mark != 0 {
		return ErrUrgent
	}
	if unread > MaxQueues {
		return fmt.Errorf("%w: %d bytes unread", ErrTooLarge, unread)
	}
	if unread > 0 {
		e.Received = sized(&b.receive, unread)
		n, errno := peek(f.fd, e.Received)
		if errno != 0 {
			return &callError{"recv MSG_PEEK (receive queue)", errno}
		}
		if n != unread {
			return fmt.Errorf("%w: after %d of %d bytes", ErrUrgent, n, unread)
		}
	}
	if !e.ReadShut {
		e.ReadShut, err = readShut(f.fd)
	}
	return err
}

// peekSend copies the selected send queue and divides it. short says that what
// was there does not agree with the counters: they are still moving.
func (f *Frozen) peekSend(e *Endpoint, buffers *Buffers, charged uint32) (short bool, err error) {
	e.Sent, e.Unsent = nil, nil
	if charged == 0 {
		return false, nil
	}
	queued, err := ioctlInt(f.fd, unix.SIOCOUTQ, "SIOCOUTQ")
	if err != nil {
		return false, err
	}
	if max(queued, int(f.unsent)) > MaxQueues {
		return false, fmt.Errorf("%w: %d bytes to send", ErrTooLarge, queued)
	}
	if queued == 0 {
		return false, nil
	}
	b := sized(&buffers.send, queued)
	n, errno := peek(f.fd, b)
	if errno == 0 && n > len(b) {
		// The first segment is acknowledged in part, and the queue still holds all
		// of it: more than is counted. The kernel says how much there is, and
		// copies what fits.
		b = sized(&buffers.send, n)
		n, errno = peek(f.fd, b)
	}
	if errno != 0 {
		return false, &callError{"recv MSG_PEEK (send queue)", errno}
	}
	if n < int(f.unsent) || n > len(b) {
		return true, nil
	}
	b = b[:n]
	sent := n - int(f.unsent)
	if sent > 0 {
		e.Sent = b[:sent:sent]
	}
	if f.unsent > 0 {
		e.Unsent = b[sent:]
	}
	return false, nil
}

// readShut asks whether the end of the stream will follow what is unread.
func readShut(fd int) (bool, error) {
	p := [1]unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
	for {
		_, err := unix.Poll(p[:], 0)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return false, &callError{"poll", err}
		}
		return p[0].Revents&unix.POLLRDHUP != 0, nil
	}
}

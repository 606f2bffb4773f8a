package tcpcp

import (
	"fmt"

	"golang.org/x/sys/unix"
)

var (
	optSendBufferForce    = sockopt{unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, "SO_SNDBUFFORCE"}
	optReceiveBufferForce = sockopt{unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, "SO_RCVBUFFORCE"}
	optSendBuffer         = sockopt{unix.SOL_SOCKET, unix.SO_SNDBUF, "SO_SNDBUF"}
	optReceiveBuffer      = sockopt{unix.SOL_SOCKET, unix.SO_RCVBUF, "SO_RCVBUF"}
)

// The same bytes may need more memory here than they did at the donor: other
// segment sizes, other overhead. So the buffers are made larger while they are
// filled, by this much, and set to the donor's size afterwards: else a busy
// connection's buffers would grow with each move.
const bufferMargin = 128 << 10

// maxBuffer bounds what a donor can make us allow, as SO_SNDBUF reads; it is
// also where growing for a queue that does not fit ends.
const maxBuffer = 4 * (MaxQueues + bufferMargin)

// buffer is one direction's socket buffer. Sizes are as setsockopt takes them:
// half of what getsockopt reads.
type buffer struct {
	forced, limited sockopt
	size            uint32 // the donor's; 0: the host's default
	current         uint32 // set now
}

func sendBuffer(e *Endpoint) buffer {
	return buffer{forced: optSendBufferForce, limited: optSendBuffer, size: e.Options.SendBuffer / 2}
}

func receiveBuffer(e *Endpoint) buffer {
	return buffer{forced: optReceiveBufferForce, limited: optReceiveBuffer, size: e.Options.ReceiveBuffer / 2}
}

// forQueue makes room for a queue of so many bytes, or says that there is none:
// later, when the connection is live, it would be too late.
func (b *buffer) forQueue(fd, bytes int) error {
	var need uint32
	if bytes > 0 {
		need = uint32(bytes) + bufferMargin
	}
	if max(b.size, need) == 0 {
		return nil
	}
	limited, err := b.set(fd, max(b.size, need))
	if err != nil || !limited || need == 0 {
		return err
	}
	now, err := b.limited.get(fd)
	if err != nil {
		return err
	}
	if now < 2*int(need) {
		return b.noRoom(now)
	}
	return nil
}

func (b *buffer) noRoom(now int) error {
	return fmt.Errorf("%w: this host allows %s %d, and more needs CAP_NET_ADMIN in the first user namespace", ErrNoRoom, b.limited.text, now)
}

// grow doubles the room; ErrNoRoom if that is not to be had.
func (b *buffer) grow(fd int) error {
	want := 2 * max(b.current, bufferMargin)
	if want > maxBuffer/2 {
		return fmt.Errorf("%w: %s %d was not enough", ErrNoRoom, b.forced.text, b.current)
	}
	before, err := b.limited.get(fd)
	if err != nil {
		return err
	}
	if _, err := b.set(fd, want); err != nil {
		return err
	}
	now, err := b.limited.get(fd)
	if err != nil {
		return err
	}
	if now <= before {
		return b.noRoom(now)
	}
	return nil
}

// settle sets the donor's size, if more was needed for filling. What is in the
// queue stays there.
func (b *buffer) settle(fd int) error {
	if b.size == 0 || b.current <= b.size {
		return nil
	}
	_, err := b.set(fd, b.size)
	return err
}

// set forces the size; where that is not permitted (a user namespace) the host's
// limit holds.
func (b *buffer) set(fd int, size uint32) (limited bool, err error) {
	b.current = size
	err = b.forced.set(fd, int(size))
	if isErrno(err, unix.EPERM) {
		return true, b.limited.set(fd, int(size))
	}
	return false, err
}

// lockBuffers says which buffers the kernel must not tune; setting a size has
// locked both. Kernels without SO_BUF_LOCK leave them locked.
func lockBuffers(fd int, o *Options) error {
	var lock int
	if o.SendBufferLocked {
		lock |= lockSendBuffer
	}
	if o.ReceiveBufferLocked {
		lock |= lockReceiveBuffer
	}
	if lock == lockSendBuffer|lockReceiveBuffer {
		return nil
	}
	return ignoring(optBufferLock.set(fd, lock), unix.ENOPROTOOPT)
}

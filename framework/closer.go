package framework

import (
	"errors"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// closeInOrder closes a connection with a FIN. What the client still sends is
// read and thrown away first: closing a socket with unread data resets the
// connection, and with it loses what was sent last. It waits for the client's
// FIN for as long as the client acknowledges or sends something at least once in
// linger, and altogether lingerMax times as long. A signal on hurry ends the wait.
//
// The socket may be shared with an application that is dead or about to close
// its own descriptor; shutdown works all the same.
func closeInOrder(fd int, linger time.Duration, hurry <-chan struct{}) {
	// The application may have switched these to its liking.
	unix.SetNonblock(fd, true)
	unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{})
	unix.Shutdown(fd, unix.SHUT_WR)

	f := os.NewFile(uintptr(fd), "closing")
	defer f.Close()
	over := make(chan struct{})
	defer close(over)
	if hurry != nil {
		go func() {
			select {
			case <-hurry:
				f.SetReadDeadline(time.Unix(1, 0))
			case <-over:
			}
		}()
	}
	buf := drainBuffers.Get().(*[drainSize]byte)
	defer drainBuffers.Put(buf)

	end := time.Now().Add(lingerMax * linger)
	unsent := outQueue(fd)
	for {
		deadline := time.Now().Add(linger)
		if deadline.After(end) {
			deadline = end
		}
		if err := f.SetReadDeadline(deadline); err != nil {
			return
		}
		select {
		case <-hurry:
			return
		default:
		}
		_, err := f.Read(buf[:])
		if err == nil {
			if time.Now().Before(end) {
				continue
			}
			return
		}
		left := outQueue(fd)
		if !errors.Is(err, os.ErrDeadlineExceeded) || left >= unsent || !time.Now().Before(end) {
			return // the client's FIN, a dead connection, or nothing moves any more
		}
		unsent = left
	}
}

// drainSize is what is thrown away at once, in bytes.
const drainSize = 16 << 10

var drainBuffers = sync.Pool{New: func() any { return new([drainSize]byte) }}

// outQueue is how many bytes the client has not acknowledged.
func outQueue(fd int) int {
	n, err := unix.IoctlGetInt(fd, unix.TIOCOUTQ)
	if err != nil {
		return 0
	}
	return n
}

// reset closes a connection with an RST, for an application that asked for it by
// SO_LINGER with time 0.
func reset(fd int) {
	unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	unix.Close(fd)
}

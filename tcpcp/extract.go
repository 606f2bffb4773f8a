package tcpcp

import (
	"encoding/binary"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// extractTries bounds the repetitions when a segment that had passed the policy
// before the freeze is still being processed. One repetition is rare.
const extractTries = 16

var optMemInfo = sockopt{unix.SOL_SOCKET, unix.SO_MEMINFO, "SO_MEMINFO"}

// Extract reads all that the connection is. The connection stays frozen, and
// Extract may be repeated.
//
// Errors: ErrState, ErrUrgent, ErrTooLarge, ErrUnstable; in each case the caller
// thaws.
func (f *Frozen) Extract() (*Endpoint, error) {
	if f.done {
		return nil, &Error{Op: "extract", Tuple: f.tuple, Err: ErrFinished}
	}
	e := &Endpoint{Local: f.tuple.Local, Remote: f.tuple.Remote}
	for range extractTries {
		steady, err := f.extract(e)
		if err != nil {
			return nil, wrap("extract", f.tuple, err)
		}
		if !steady {
			continue
		}
		if err := f.readOptions(&e.Options); err != nil {
			return nil, wrap("extract", f.tuple, err)
		}
		return e, nil
	}
	return nil, &Error{Op: "extract", Tuple: f.tuple, Err: ErrUnstable}
}

// extract reads the connection once, and says whether it held still meanwhile.
func (f *Frozen) extract(e *Endpoint) (steady bool, err error) {
	before, err := getInfo(f.fd)
	if err != nil {
		return false, err
	}
	if !before.state.movable() {
		return false, fmt.Errorf("%w: %v", ErrState, before.state)
	}
	e.negotiated(before)
	e.ReadShut = before.state == CloseWait
	e.Timestamp = 0
	if !f.unsentKnown {
		f.unsent, f.unsentKnown = before.notSent, true
		// An own FIN that was not sent counts as one byte.
		if before.state.sentFIN() && f.unsent > 0 {
			f.unsent--
		}
	}
	mss, err := optMaxSeg.get(f.fd) // in repair mode: the peer's limit
	if err != nil {
		return false, err
	}
	e.MSS = uint16(mss)
	if e.Timestamps {
		ts, err := optTimestamp.get(f.fd)
		if err != nil {
			return false, err
		}
		e.Timestamp = uint32(ts) &^ timestampFlag
	}
	if e.Window, err = getWindow(f.fd); err != nil {
		return false, err
	}
	mem, err := getMemory(f.fd)
	if err != nil {
		return false, err
	}
	e.Options.ReceiveBuffer, e.Options.SendBuffer = mem.receiveBuffer, mem.sendBuffer

	if e.ReceiveNext, err = seqOf(f.fd, recvQueue); err != nil {
		return false, err
	}
	if err := f.peekReceived(e, mem.received); err != nil {
		return false, err
	}
	if e.SendNext, err = seqOf(f.fd, sendQueue); err != nil {
		return false, err
	}
	short, err := f.peekSend(e, mem.toSend)
	// With the send queue selected a timer would mark unsent data as sent:
	// deselect it at once, also after an error.
	if err2 := optRepairQueue.set(f.fd, noQueue); err == nil {
		err = err2
	}
	if err != nil {
		return false, err
	}
	after, err := getInfo(f.fd)
	return !short && after == before, err
}

// negotiated takes over what TCP_INFO tells.
func (e *Endpoint) negotiated(i info) {
	e.State = i.state
	e.Timestamps = i.options&infoTimestamps != 0
	e.TimestampMicro = e.Timestamps && i.options&infoMicro != 0
	e.SACK = i.options&infoSACK != 0
	e.SendScale, e.ReceiveScale = 0, 0
	if e.WindowScaling = i.options&infoWindowScale != 0; e.WindowScaling {
		e.SendScale, e.ReceiveScale = i.windowScales()
	}
}

// memory is the part of SO_MEMINFO in use, all in bytes with the kernel's overhead.
type memory struct {
	received, receiveBuffer, sendBuffer, toSend uint32
}

func getMemory(fd int) (memory, error) {
	var b [4 * unix.SK_MEMINFO_VARS]byte
	if _, err := optMemInfo.getBytes(fd, b[:]); err != nil {
		return memory{}, err
	}
	u := func(i int) uint32 { return binary.NativeEndian.Uint32(b[4*i:]) }
	return memory{
		received:      u(unix.SK_MEMINFO_RMEM_ALLOC),
		receiveBuffer: u(unix.SK_MEMINFO_RCVBUF),
		sendBuffer:    u(unix.SK_MEMINFO_SNDBUF),
		toSend:        u(unix.SK_MEMINFO_WMEM_QUEUED),
	}, nil
}

// peekReceived copies the unread bytes of the selected receive queue, and finds
// out whether more can come.
func (f *Frozen) peekReceived(e *Endpoint, charged uint32) error {
	e.Received = nil
	if charged > 0 {
		return f.peekUnread(e)
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
		return f.peekUnread(e)
	}
}

// peekUnread copies a receive queue that holds something: bytes, a FIN, or
// segments out of order (which the peer will send again).
func (f *Frozen) peekUnread(e *Endpoint) error {
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
		e.Received = make([]byte, unread)
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
func (f *Frozen) peekSend(e *Endpoint, charged uint32) (short bool, err error) {
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
	b := make([]byte, queued)
	n, errno := peek(f.fd, b)
	if errno == 0 && n > len(b) {
		// The first segment is acknowledged in part, and the queue still holds all
		// of it: more than is counted. The kernel says how much there is, and
		// copies what fits.
		b = make([]byte, n)
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

package tcpcp

import (
	"encoding/binary"
	"fmt"

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
func (f *Frozen) Extract() (*Endpoint, error) { return f.ExtractInto(new(Buffers)) }

// ExtractInto is Extract with the queues in b: the endpoint's until b is used
// again.
func (f *Frozen) ExtractInto(b *Buffers) (*Endpoint, error) {
	if f.done {
		return nil, &Error{Op: "extract", Tuple: f.tuple, Err: ErrFinished}
	}
	e := &Endpoint{Local: f.tuple.Local, Remote: f.tuple.Remote}
	for range extractTries {
		steady, err := f.extract(e, b)
		if err != nil {
			return nil, wrap("extract", f.tuple, err)
		}
		if !steady {
			continue
		}
		if err := f.readOptions(&e.Options); err != nil {
			return nil, wrap("extract", f.tuple, err)
		}
		if len(e.Sent) > 0 {
			e.Options.CongestionWindow, e.Options.SegmentSize = f.window, f.segmentSize
		}
		return e, nil
	}
	return nil, &Error{Op: "extract", Tuple: f.tuple, Err: ErrUnstable}
}

// extract reads the connection once, and says whether it held still meanwhile.
func (f *Frozen) extract(e *Endpoint, b *Buffers) (steady bool, err error) {
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
		f.window, f.segmentSize = before.window, before.segmentSize
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
	e.Window.confine(e.ReceiveNext)
	if err := f.peekReceived(e, b, mem.received); err != nil {
		return false, err
	}
	if e.SendNext, err = seqOf(f.fd, sendQueue); err != nil {
		return false, err
	}
	short, err := f.peekSend(e, b, mem.toSend)
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

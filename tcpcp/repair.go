package tcpcp

import (
	"encoding/binary"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The queues that TCP_REPAIR_QUEUE selects (linux/tcp.h).
const (
	noQueue   = 0
	recvQueue = 1
	sendQueue = 2
)

// The options of TCP_REPAIR.
var (
	optRepair        = sockopt{unix.IPPROTO_TCP, unix.TCP_REPAIR, "TCP_REPAIR"}
	optRepairQueue   = sockopt{unix.IPPROTO_TCP, unix.TCP_REPAIR_QUEUE, "TCP_REPAIR_QUEUE"}
	optQueueSeq      = sockopt{unix.IPPROTO_TCP, unix.TCP_QUEUE_SEQ, "TCP_QUEUE_SEQ"}
	optRepairOptions = sockopt{unix.IPPROTO_TCP, unix.TCP_REPAIR_OPTIONS, "TCP_REPAIR_OPTIONS"}
	optRepairWindow  = sockopt{unix.IPPROTO_TCP, unix.TCP_REPAIR_WINDOW, "TCP_REPAIR_WINDOW"}
	optTimestamp     = sockopt{unix.IPPROTO_TCP, unix.TCP_TIMESTAMP, "TCP_TIMESTAMP"}
	optMaxSeg        = sockopt{unix.IPPROTO_TCP, unix.TCP_MAXSEG, "TCP_MAXSEG"}
)

// struct tcp_repair_window, five 32-bit words.
const sizeofRepairWindow = 20

func getWindow(fd int) (Window, error) {
	var b [sizeofRepairWindow]byte
	if _, err := optRepairWindow.getBytes(fd, b[:]); err != nil {
		return Window{}, err
	}
	u := func(i int) uint32 { return binary.NativeEndian.Uint32(b[4*i:]) }
	return Window{SendWL1: u(0), SendWindow: u(1), MaxWindow: u(2), ReceiveWindow: u(3), ReceiveWUP: u(4)}, nil
}

func setWindow(fd int, w *Window) error {
	var b [sizeofRepairWindow]byte
	for i, v := range [...]uint32{w.SendWL1, w.SendWindow, w.MaxWindow, w.ReceiveWindow, w.ReceiveWUP} {
		binary.NativeEndian.PutUint32(b[4*i:], v)
	}
	return optRepairWindow.setBytes(fd, b[:])
}

// setNegotiated restores what the SYNs agreed on. Each entry is a struct
// tcp_repair_opt {code, value}; the kernel takes it before anything is sent.
func setNegotiated(fd int, e *Endpoint) error {
	const sizeofEntry = 8
	var buf [4 * sizeofEntry]byte
	b := buf[:0]
	add := func(code, value uint32) {
		b = binary.NativeEndian.AppendUint32(b, code)
		b = binary.NativeEndian.AppendUint32(b, value)
	}
	add(unix.TCPOPT_MAXSEG, uint32(e.MSS))
	if e.WindowScaling {
		add(unix.TCPOPT_WINDOW, uint32(e.SendScale)|uint32(e.ReceiveScale)<<16)
	}
	if e.SACK {
		add(unix.TCPOPT_SACK_PERMITTED, 0)
	}
	if e.Timestamps {
		add(unix.TCPOPT_TIMESTAMP, 0)
	}
	return optRepairOptions.setBytes(fd, b)
}

// assumedMSS is what connect takes for the peer's limit when there was no SYN to
// tell it (RFC 8200 §5: 1280 less the headers).
const assumedMSS = 1280 - 40 - 20

var optPacketOptions = sockopt{unix.IPPROTO_IPV6, unix.IPV6_2292PKTOPTIONS, "IPV6_2292PKTOPTIONS"}

// useMSS has the kernel use the limit that setNegotiated set. By itself it would
// send segments of what connect assumed for as long as the connection lives, or
// until the path's MTU changes: nothing computes their size anew. Setting the
// packet options does, also an empty list (a byte is too short for an option).
func useMSS(fd int, mss uint16) error {
	if mss <= assumedMSS {
		return nil
	}
	return optPacketOptions.setBytes(fd, []byte{0})
}

// The timestamp's low bit is a flag on Linux 6.7 and later (microseconds) and
// noise before. So the clock's unit travels apart, the bit is masked, and the
// value goes on by one step of the masked clock: a timestamp that went back
// would make the peer drop everything (PAWS, RFC 7323 §5).
const timestampFlag = 1

func setTimestamp(fd int, e *Endpoint) error {
	v := e.Timestamp&^timestampFlag + 2*timestampFlag
	if e.TimestampMicro {
		v |= timestampFlag
	}
	return optTimestamp.set(fd, int(int32(v)))
}

// selectSeq selects a queue and sets the sequence number of its first byte.
func selectSeq(fd, queue int, seq uint32) error {
	if err := optRepairQueue.set(fd, queue); err != nil {
		return err
	}
	return optQueueSeq.set(fd, int(int32(seq)))
}

// seqOf selects a queue and reads the sequence number after its last byte.
func seqOf(fd, queue int) (uint32, error) {
	if err := optRepairQueue.set(fd, queue); err != nil {
		return 0, err
	}
	v, err := optQueueSeq.get(fd)
	return uint32(v), err
}

// peek reads the selected queue without taking from it.
func peek(fd int, b []byte) (int, syscall.Errno) {
	n, _, e := syscall.Syscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)),
		unix.MSG_PEEK|unix.MSG_DONTWAIT, 0, 0)
	return int(n), e
}

// put writes to the selected queue or, out of repair mode, to the connection,
// as much as the buffer takes.
func put(fd int, b []byte) (int, syscall.Errno) {
	n, _, e := syscall.Syscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)),
		unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	return int(n), e
}

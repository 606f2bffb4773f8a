package tcpcp

import (
	"fmt"
	"net/netip"
)

// FourTuple names a connection as its host sees it.
type FourTuple struct {
	Local, Remote netip.AddrPort
}

func (t FourTuple) String() string { return t.Local.String() + "<->" + t.Remote.String() }

func (t FourTuple) valid() bool { return t.Local.IsValid() && t.Remote.IsValid() }

// State is a TCP state as the kernel numbers it.
type State uint8

// The states of tcp_states.h that this package meets. Those of an Endpoint are
// Established, FinWait1, FinWait2 and CloseWait only.
const (
	Established State = 1
	SynSent     State = 2
	SynReceived State = 3
	FinWait1    State = 4
	FinWait2    State = 5
	TimeWait    State = 6
	Closed      State = 7
	CloseWait   State = 8
	LastAck     State = 9
	Listen      State = 10
	Closing     State = 11
)

func (s State) String() string {
	names := [...]string{1: "ESTABLISHED", 2: "SYN_SENT", 3: "SYN_RECV", 4: "FIN_WAIT1", 5: "FIN_WAIT2",
		6: "TIME_WAIT", 7: "CLOSE", 8: "CLOSE_WAIT", 9: "LAST_ACK", 10: "LISTEN", 11: "CLOSING"}
	if int(s) < len(names) && names[s] != "" {
		return names[s]
	}
	return fmt.Sprintf("state %d", uint8(s))
}

// movable: the states that Insert can make.
func (s State) movable() bool {
	return s == Established || s == CloseWait || s == FinWait1 || s == FinWait2
}

// sentFIN: the application has shut its sending side, so the last number of the
// sending sequence space is a FIN.
func (s State) sentFIN() bool { return s == FinWait1 || s == FinWait2 }

// Window is the kernel's struct tcp_repair_window: what each side may send.
type Window struct {
	SendWL1       uint32 // sequence number of the segment that last updated SendWindow (RFC 9293 SND.WL1)
	SendWindow    uint32 // bytes, SND.WND
	MaxWindow     uint32 // bytes, the largest SND.WND seen
	ReceiveWindow uint32 // bytes, RCV.WND as last advertised
	ReceiveWUP    uint32 // RCV.NXT when the window was last advertised
}

// Endpoint is all that a connection is, outside of its application. Extract
// makes it, Insert uses it. It is plain data: the byte slices are not shared
// with the kernel.
type Endpoint struct {
	Local, Remote netip.AddrPort // IPv6, global

	State State
	// ReadShut: no more can be received, because the peer's FIN was (always in
	// CLOSE_WAIT) or because the application shut the receiving side.
	ReadShut bool

	// SendNext follows the last number of the send queue, counting an own FIN
	// (the kernel's write_seq); ReceiveNext is RCV.NXT, counting the peer's FIN.
	SendNext, ReceiveNext uint32

	Window Window
	MSS    uint16 // largest segment that the peer takes, bytes of payload (the kernel's mss_clamp)

	WindowScaling           bool  // negotiated (RFC 7323 §2)
	SendScale, ReceiveScale uint8 // shift counts, at most 14

	SACK bool // permitted by the peer (RFC 2018)

	Timestamps     bool   // negotiated (RFC 7323 §3)
	TimestampMicro bool   // the timestamp clock ticks in microseconds, not milliseconds
	Timestamp      uint32 // its value when extracted

	Sent     []byte // sent, not acknowledged: the first part of the send queue
	Unsent   []byte // never sent: the rest of it
	Received []byte // received and acknowledged, not yet read by the application

	Options Options
}

// MaxQueues bounds the bytes of the three queues together. The largest tcp_rmem
// and tcp_wmem in use are well below it.
const MaxQueues = 48 << 20

// Tuple is the connection's name.
func (e *Endpoint) Tuple() FourTuple { return FourTuple{Local: e.Local, Remote: e.Remote} }

// Queued is how many bytes the queues hold.
func (e *Endpoint) Queued() int { return len(e.Sent) + len(e.Unsent) + len(e.Received) }

// sendStart is the sequence number of the send queue's first byte.
func (e *Endpoint) sendStart() uint32 {
	n := e.SendNext - uint32(len(e.Sent)+len(e.Unsent))
	if e.State.sentFIN() {
		n--
	}
	return n
}

// receiveStart is the sequence number that the first unread byte is given. With
// the peer's FIN received it is one more than the peer gave it: so RCV.NXT
// counts the FIN, which cannot be queued, and nobody asks for read data's numbers.
func (e *Endpoint) receiveStart() uint32 { return e.ReceiveNext - uint32(len(e.Received)) }

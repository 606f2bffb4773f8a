package tcpcp

import (
	"fmt"
	"net/netip"
)

// maxWindowScale is the largest shift count of RFC 7323 §2.3.
const maxWindowScale = 14

// minMSS is Linux's TCP_MIN_SND_MSS: 40 bytes of TCP options and 8 of payload.
const minMSS = 48

// Validate says whether a kernel can have this endpoint. Errors are ErrFormat,
// ErrState or ErrTooLarge. Insert and UnmarshalBinary call it: what comes from
// the network is not trusted to be what Extract made.
func (e *Endpoint) Validate() error {
	if !e.State.movable() {
		return fmt.Errorf("%w: %v", ErrState, e.State)
	}
	if e.State == CloseWait && !e.ReadShut {
		return fmt.Errorf("%w: CLOSE_WAIT with an open receiving side", ErrFormat)
	}
	if err := validAddr("local", e.Local); err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if err := validAddr("remote", e.Remote); err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if n := e.Queued(); n > MaxQueues {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, n, MaxQueues)
	}
	if e.State == FinWait2 && len(e.Sent)+len(e.Unsent) > 0 {
		return fmt.Errorf("%w: FIN_WAIT2 with %d bytes to send", ErrFormat, len(e.Sent)+len(e.Unsent))
	}
	if e.MSS < minMSS {
		return fmt.Errorf("%w: MSS %d below %d", ErrFormat, e.MSS, minMSS)
	}
	if e.SendScale > maxWindowScale || e.ReceiveScale > maxWindowScale {
		return fmt.Errorf("%w: window scale %d,%d above %d", ErrFormat, e.SendScale, e.ReceiveScale, maxWindowScale)
	}
	if !e.WindowScaling && e.SendScale|e.ReceiveScale != 0 {
		return fmt.Errorf("%w: window scale without window scaling", ErrFormat)
	}
	if !e.Timestamps && (e.TimestampMicro || e.Timestamp != 0) {
		return fmt.Errorf("%w: timestamp without timestamps", ErrFormat)
	}
	if err := e.Window.validate(e.ReceiveNext); err != nil {
		return err
	}
	return e.Options.validate()
}

// validate is what the kernel's tcp_repair_set_window asks for.
func (w *Window) validate(receiveNext uint32) error {
	if w.MaxWindow < w.SendWindow {
		return fmt.Errorf("%w: send window %d above its maximum %d", ErrFormat, w.SendWindow, w.MaxWindow)
	}
	if after(w.SendWL1, receiveNext+w.ReceiveWindow) {
		return fmt.Errorf("%w: SND.WL1 %d beyond the receive window", ErrFormat, w.SendWL1)
	}
	if after(w.ReceiveWUP, receiveNext) {
		return fmt.Errorf("%w: window update %d after RCV.NXT %d", ErrFormat, w.ReceiveWUP, receiveNext)
	}
	return nil
}

// confine makes a window what validate asks for. A socket that had no memory for what
// came says that its window is zero (tcp_select_window, ICSK_ACK_NOMEM), and SND.WL1 may
// be of a segment in the window that it took back. An older one is no harm: the next
// segment updates the send window as it would have.
func (w *Window) confine(receiveNext uint32) {
	if end := receiveNext + w.ReceiveWindow; after(w.SendWL1, end) {
		w.SendWL1 = end
	}
}

// after compares sequence numbers modulo 2^32 (RFC 9293 §3.4).
func after(a, b uint32) bool { return int32(a-b) > 0 }

// validAddr: an address that means the same on every host.
func validAddr(which string, a netip.AddrPort) error {
	ip := a.Addr()
	switch {
	case !ip.Is6() || ip.Is4In6():
		return fmt.Errorf("%s address %v is not IPv6", which, a)
	case ip.Zone() != "" || ip.IsLinkLocalUnicast():
		return fmt.Errorf("%s address %v is link-local", which, a)
	case ip.IsUnspecified() || ip.IsMulticast():
		return fmt.Errorf("%s address %v is not unicast", which, a)
	case a.Port() == 0:
		return fmt.Errorf("%s address %v has no port", which, a)
	}
	return nil
}

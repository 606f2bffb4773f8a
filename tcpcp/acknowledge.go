package tcpcp

import "golang.org/x/sys/unix"

var optQuickAck = sockopt{unix.IPPROTO_TCP, unix.TCP_QUICKACK, "TCP_QUICKACK"}

// overdue is more than any segment: what has so many bytes unacknowledged does not
// delay it longer.
const overdue = 1 << 17

// acknowledge sends the acknowledgement that the kernel delays, if there is one; the
// socket is in repair mode, and live.
//
// It cannot be made up for at the acceptor: a window probe carries the right number,
// but its own is an old one (tcp_xmit_probe_skb), and the peer looks no further.
func acknowledge(fd int) error {
	if _, owed, err := owes(fd); err != nil || !owed {
		return err
	}
	if err := optQuickAck.set(fd, 1); err != nil {
		return err
	}
	w, owed, err := owes(fd)
	if err != nil || !owed {
		return err
	}
	// Where the application has not read everything that was not enough
	// (tcp_cleanup_rbuf), unless more than a segment is unacknowledged. So the window is
	// said to begin further back; it ends where it did. A segment that comes meanwhile
	// may have moved that end: the next one moves it again.
	further := w
	further.ReceiveWUP -= overdue
	further.ReceiveWindow += overdue
	if err := setWindow(fd, &further); err != nil {
		return err
	}
	if err := optQuickAck.set(fd, 1); err != nil {
		return err
	}
	if now, err := getWindow(fd); err != nil || now.ReceiveWUP != further.ReceiveWUP {
		return err
	}
	return setWindow(fd, &w) // nothing was sent: not in this state
}

// owes tells whether something was received that is not acknowledged.
func owes(fd int) (Window, bool, error) {
	w, err := getWindow(fd)
	if err != nil {
		return w, false, err
	}
	next, err := seqOf(fd, recvQueue)
	return w, next != w.ReceiveWUP, err
}

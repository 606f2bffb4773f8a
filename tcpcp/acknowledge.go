package tcpcp

import "golang.org/x/sys/unix"

var optQuickAck = sockopt{unix.IPPROTO_TCP, unix.TCP_QUICKACK, "TCP_QUICKACK"}

// overdue is more than any segment: what has so many bytes unacknowledged does not
// delay it longer.
const overdue = 1 << 17

// acknowledge sends the acknowledgement that the kernel delays, if there is one; the
// socket is in repair mode, and nothing comes in. TCP_QUICKACK alone would leave it
// where the application has not read everything (tcp_cleanup_rbuf), unless more than a
// segment is unacknowledged. So the window is said to begin further back; it ends where
// it did.
//
// It cannot be made up for at the acceptor: a window probe carries the right number,
// but its own is an old one (tcp_xmit_probe_skb), and the peer looks no further.
func acknowledge(fd int) error {
	w, err := getWindow(fd)
	if err != nil {
		return err
	}
	next, err := seqOf(fd, recvQueue)
	if err != nil || next == w.ReceiveWUP {
		return err
	}
	further := w
	further.ReceiveWUP = next - overdue
	further.ReceiveWindow += w.ReceiveWUP - further.ReceiveWUP
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

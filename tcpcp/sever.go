package tcpcp

import (
	"errors"

	"golang.org/x/sys/unix"
)

// Sever ends the connection of fd without a packet, for all descriptors that it
// has: they see ECONNABORTED, as if a timer had given it up. A connection that is
// over already is no error. fd stays the caller's.
//
// What still comes for it draws a reset once the kernel does not know it any more:
// the caller keeps that away.
func Sever(fd int) error {
	f, err := Freeze(fd)
	if errors.Is(err, ErrState) {
		return nil
	}
	if err != nil {
		return err
	}
	f.done = true
	if err := disconnect(fd); err != nil {
		// A reader is in its way (EBUSY, before 6.8): then it stays frozen.
		return wrap("sever", f.tuple, ignoring(err, unix.EBUSY))
	}
	// In repair mode a reader would be told something else. Nothing is sent: there
	// is no connection.
	return wrap("sever", f.tuple, optRepair.set(fd, unix.TCP_REPAIR_OFF_NO_WP))
}

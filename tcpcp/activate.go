package tcpcp

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// Activate makes the connection live: from here on this host speaks for it. The
// peer's packets must come here by now. The descriptor is the caller's.
//
// If the peer ended the connection in that very moment, the caller learns it
// from the descriptor, as with any connection. After an error nothing is live,
// and Abort is what is left to do.
func (i *Inserted) Activate() (int, error) { return i.ActivateAfter(func() error { return nil }) }

// ActivateAfter is Activate for packets that were kept: open lets them come. It is
// called when the connection can receive and has sent nothing yet.
func (i *Inserted) ActivateAfter(open func() error) (int, error) {
	if i.done {
		return -1, &Error{Op: "activate", Tuple: i.Tuple(), Err: ErrFinished}
	}
	if err := i.activate(open); err != nil {
		// Whatever was sent by now was right to send; but it ends here.
		optRepair.set(i.fd, unix.TCP_REPAIR_ON)
		return -1, wrap("activate", i.Tuple(), err)
	}
	i.done = true
	return i.fd, nil
}

func (i *Inserted) activate(open func() error) error {
	fd, e := i.fd, i.endpoint
	if err := unblock(fd); err != nil {
		return err
	}
	if err := open(); err != nil {
		return err
	}
	// Leaving repair mode sends a window probe: its answer says what the peer has
	// and how much it takes. With an own FIN the FIN does that.
	leave := unix.TCP_REPAIR_OFF
	if e.State.sentFIN() {
		leave = unix.TCP_REPAIR_OFF_NO_WP
	}
	if err := optRepair.set(fd, leave); err != nil {
		return err
	}
	// Repair mode leaves sk_reuse at 0, and a listener on this port could not be
	// restarted.
	if err := optReuseAddr.set(fd, 1); err != nil {
		return err
	}
	gone, err := i.sendRest()
	if gone || err != nil {
		return err
	}
	if err := i.send.settle(fd); err != nil {
		return err
	}
	if err := lockBuffers(fd, &e.Options); err != nil {
		return err
	}
	return i.setLiveOptions()
}

// sendRest sends what was never sent, and the FIN. gone: the peer has ended the
// connection since it was unblocked.
func (i *Inserted) sendRest() (gone bool, err error) {
	if len(i.endpoint.Unsent) > 0 {
		err = putAll(i.fd, i.endpoint.Unsent, &i.send)
	}
	if err == nil && i.endpoint.State.sentFIN() {
		// The same sequence number as at the donor. A peer that has it acknowledges
		// it again.
		if _, _, errno := syscall.RawSyscall(unix.SYS_SHUTDOWN, uintptr(i.fd), unix.SHUT_WR, 0); errno != 0 {
			err = &callError{"shutdown SHUT_WR", errno}
		}
	}
	if isErrno(err, unix.ECONNRESET) || isErrno(err, unix.EPIPE) || isErrno(err, unix.ENOTCONN) {
		return true, nil
	}
	return false, err
}

// Abort ends the connection here without a packet.
func (i *Inserted) Abort() error {
	if i.done {
		return &Error{Op: "abort", Tuple: i.Tuple(), Err: ErrFinished}
	}
	i.done = true
	return wrap("abort", i.Tuple(), closeFD(i.fd))
}

// setQuietOptions sets what may be set while the connection is frozen, each only
// where it is not what a new socket has.
func (i *Inserted) setQuietOptions() error {
	o := &i.endpoint.Options
	return setEach(i.fd, []setting{
		{optNoDelay, o.NoDelay, 1},
		{optTrafficClass, o.TrafficClass != 0, int(o.TrafficClass)},
		{optOOBInline, o.OOBInline, 1},
		{optKeepIdle, o.KeepAliveIdle != 0, int(o.KeepAliveIdle)},
		{optKeepInterval, o.KeepAliveInterval != 0, int(o.KeepAliveInterval)},
		{optKeepCount, o.KeepAliveCount != 0, int(o.KeepAliveCount)},
	})
}

// setLiveOptions sets what must wait: the timeouts would kill a frozen
// connection, the others would hold up the unsent part.
func (i *Inserted) setLiveOptions() error {
	o := &i.endpoint.Options
	err := setEach(i.fd, []setting{
		{optUserTimeout, o.UserTimeout != 0, int(o.UserTimeout)},
		{optKeepAlive, o.KeepAlive, 1},
		{optNotSentLowat, o.NotSentLowat != 0, int(int32(o.NotSentLowat))},
		{optCork, o.Cork, 1},
	})
	if err != nil || !o.Linger {
		return err
	}
	return setLinger(i.fd, o.LingerSeconds)
}

// setting is an option and whether it is wanted.
type setting struct {
	opt    sockopt
	wanted bool
	value  int
}

func setEach(fd int, settings []setting) error {
	for _, s := range settings {
		if !s.wanted {
			continue
		}
		if err := s.opt.set(fd, s.value); err != nil {
			return err
		}
	}
	return nil
}

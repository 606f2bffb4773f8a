package tcpcp

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// Frozen is a connection that neither takes in nor sends out a packet. Its
// methods are for one goroutine at a time.
type Frozen struct {
	fd    int
	tuple FourTuple
	done  bool

	// What Freeze switched off, as it was.
	keepAlive   bool
	userTimeout int
	// inlined: Extract set SO_OOBINLINE to count unread bytes.
	inlined bool

	// unsent is known once, at the first Extract: nothing has been sent since
	// the freeze, whatever the kernel's counters come to say.
	unsent      uint32
	unsentKnown bool
	// So are these: to timers a frozen connection looks like one that loses all.
	window, segmentSize uint32
}

// Freeze freezes the connected IPv6 TCP socket fd. The caller has stopped its
// reader and writer, and keeps fd open and untouched until Thaw or Forget.
//
// Errors: ErrState (not connected), ErrUnsupported (not TCP over IPv6, link-local
// addresses, an upper-layer protocol), EPERM without CAP_NET_ADMIN; the socket is
// then as it was.
func Freeze(fd int) (*Frozen, error) { return FreezeWith(fd, func() error { return nil }) }

// FreezeWith is Freeze for a connection whose packets go elsewhere from now on:
// divert sends them there. It is called when nothing leaves any more (what the
// kernel would send counts as unsent) and what comes is still taken, so that no
// packet is lost between the two places. If it fails nothing is frozen.
func FreezeWith(fd int, divert func() error) (*Frozen, error) {
	t, err := tupleOf(fd)
	if err != nil {
		return nil, wrap("freeze", t, err)
	}
	f := &Frozen{fd: fd, tuple: t}
	// Reading first: on anything but TCP this fails before anything is changed.
	if f.userTimeout, err = optUserTimeout.get(fd); err != nil {
		return nil, &Error{Op: "freeze", Call: "getsockopt TCP_USER_TIMEOUT", Tuple: t, Kind: ErrUnsupported, Err: unwrapErrno(err)}
	}
	if err := refuseULP(fd); err != nil {
		return nil, wrap("freeze", t, err)
	}
	if f.keepAlive, err = optKeepAlive.getBool(fd); err != nil {
		return nil, wrap("freeze", t, err)
	}
	if err := f.freeze(divert); err != nil {
		return nil, wrap("freeze", t, err)
	}
	return f, nil
}

// freeze blocks what goes out before what comes in: else an answer could leave
// after the last look at the state that it answers for. What is owed is acknowledged
// before both: when packets go elsewhere, those from here may not leave either. On error
// it leaves the socket as it was.
func (f *Frozen) freeze(divert func() error) error {
	if err := optRepair.set(f.fd, unix.TCP_REPAIR_ON); err != nil {
		return err
	}
	if err := acknowledge(f.fd); err != nil {
		return errors.Join(err, f.thaw())
	}
	if err := block(f.fd, xfrmPolicyOut); err != nil {
		return errors.Join(err, f.thaw())
	}
	if err := divert(); err != nil {
		return errors.Join(err, f.thaw())
	}
	if err := block(f.fd, xfrmPolicyIn); err != nil {
		return errors.Join(err, f.thaw())
	}
	if err := f.calm(); err != nil {
		return errors.Join(err, f.thaw())
	}
	return nil
}

// calm switches off what would take the silence for a dead peer.
func (f *Frozen) calm() error {
	if f.keepAlive {
		if err := optKeepAlive.set(f.fd, 0); err != nil {
			return err
		}
	}
	if f.userTimeout != 0 {
		return optUserTimeout.set(f.fd, 0)
	}
	return nil
}

// Tuple is the connection's name.
func (f *Frozen) Tuple() FourTuple { return f.tuple }

// Thaw lets the connection go on where it stood; the descriptor is the caller's
// again. After an error it is the caller's as well, in a doubtful state.
func (f *Frozen) Thaw() error {
	if f.done {
		return &Error{Op: "thaw", Tuple: f.tuple, Err: ErrFinished}
	}
	f.done = true
	return wrap("thaw", f.tuple, f.thaw())
}

func (f *Frozen) thaw() error {
	// Everything is tried, whatever fails before.
	errs := []error{
		unblock(f.fd),
		// TCP_REPAIR_OFF sends a window probe, whose answer sets the peer's
		// window and the retransmission going; without it (NO_WP) a connection
		// may wait for its next timer.
		optRepair.set(f.fd, unix.TCP_REPAIR_OFF),
		// Repair mode leaves sk_reuse at 0, and a listener on this port could
		// not be restarted.
		optReuseAddr.set(f.fd, 1),
	}
	if f.userTimeout != 0 {
		errs = append(errs, optUserTimeout.set(f.fd, f.userTimeout))
	}
	if f.keepAlive {
		errs = append(errs, optKeepAlive.set(f.fd, 1))
	}
	if f.inlined {
		errs = append(errs, optOOBInline.set(f.fd, 0))
	}
	return errors.Join(errs...)
}

// Forget ends the connection here without a packet, and closes the descriptor.
// Other descriptors of the socket see ECONNABORTED. Keep the frozen socket for
// a while before (Graveyard): a segment that is still on its way and finds
// only a listener is answered with a reset.
func (f *Frozen) Forget() error {
	if f.done {
		return &Error{Op: "forget", Tuple: f.tuple, Err: ErrFinished}
	}
	f.done = true
	// The close alone would do if ours were the last descriptor. The kernel
	// refuses to disconnect (EBUSY, before 6.8) under a blocked reader: then the
	// socket stays frozen until the last descriptor is closed, silently too.
	err := ignoring(disconnect(f.fd), unix.EBUSY)
	return wrap("forget", f.tuple, errors.Join(err, closeFD(f.fd)))
}

// ignoring turns these errnos into success.
func ignoring(err error, errnos ...syscall.Errno) error {
	for _, e := range errnos {
		if isErrno(err, e) {
			return nil
		}
	}
	return err
}

func isErrno(err error, e syscall.Errno) bool { return err != nil && errors.Is(err, e) }

// unwrapErrno gives the bare errno of a failed call.
func unwrapErrno(err error) error {
	var e syscall.Errno
	if errors.As(err, &e) {
		return e
	}
	return err
}

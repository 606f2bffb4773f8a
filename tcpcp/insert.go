package tcpcp

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// Inserted is a connection that Insert made and that is still frozen. Its
// methods are for one goroutine at a time.
type Inserted struct {
	fd       int
	endpoint *Endpoint
	send     buffer
	done     bool
	notes    []error
	window   func(fd int, segments uint32) error
}

// Insert makes the connection that e describes, frozen, in the calling thread's
// network namespace: it takes nothing in and sends nothing. The caller then makes the peer's packets come to this host, and
// activates it. e must not be changed until then.
//
// The local address need not be on this host yet. A listener on the same address
// and port is no obstacle.
//
// Errors: ErrExists, ErrNoRoute, ErrNoRoom, and those of Endpoint.Validate.
// Nothing is left behind then, and nothing was sent.
func Insert(e *Endpoint) (*Inserted, error) { return InsertWith(e, nil) }

// InsertWith is Insert where a first congestion window can be chosen: window does
// that for a socket, in segments. It is called only if the window that a new
// connection has by itself is too small (firstWindow). Its error is a note.
func InsertWith(e *Endpoint, window func(fd int, segments uint32) error) (*Inserted, error) {
	if err := e.Validate(); err != nil {
		return nil, wrap("insert", e.Tuple(), err)
	}
	fd, err := newSocket()
	if err != nil {
		return nil, wrap("insert", e.Tuple(), err)
	}
	i := &Inserted{fd: fd, endpoint: e, send: sendBuffer(e), window: window}
	if err := i.build(); err != nil {
		closeFD(fd) // in repair mode: silent. The first error is the one to tell.
		return nil, wrap("insert", e.Tuple(), err)
	}
	return i, nil
}

// Tuple is the connection's name.
func (i *Inserted) Tuple() FourTuple { return i.endpoint.Tuple() }

// Notes are the things that this host could not do as the donor's did, and that
// do no harm: a congestion control that is not there, for instance.
func (i *Inserted) Notes() []error { return i.notes }

// newSocket is non-blocking from the start, so that Go's poller can take it.
func newSocket() (int, error) {
	fd, _, e := syscall.RawSyscall(unix.SYS_SOCKET, unix.AF_INET6,
		unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_TCP)
	if e != 0 {
		return -1, &callError{"socket", e}
	}
	return int(fd), nil
}

// build goes through the steps in the one order that works.
func (i *Inserted) build() error {
	fd, e := i.fd, i.endpoint
	if err := optRepair.set(fd, unix.TCP_REPAIR_ON); err != nil {
		return err
	}
	// Incoming is blocked before the four-tuple can be found; outgoing only after
	// connect, whose look-up of the route it would fail.
	if err := block(fd, xfrmPolicyIn); err != nil {
		return err
	}
	if err := selectSeq(fd, sendQueue, e.sendStart()); err != nil {
		return err
	}
	if err := selectSeq(fd, recvQueue, e.receiveStart()); err != nil {
		return err
	}
	// Before connect: it takes the buffer's size as the limit of the window.
	receive := receiveBuffer(e)
	if err := receive.forQueue(fd, len(e.Received)); err != nil {
		return err
	}
	if err := i.send.forQueue(fd, len(e.Sent)+len(e.Unsent)); err != nil {
		return err
	}
	if err := i.setCongestion(); err != nil {
		return err
	}
	i.setFirstWindow()
	if err := i.connect(); err != nil {
		return err
	}
	if err := block(fd, xfrmPolicyOut); err != nil {
		return err
	}
	// Before the queues: refused once something was sent.
	if err := setNegotiated(fd, e); err != nil {
		return err
	}
	if err := useMSS(fd, e.MSS); err != nil {
		return err
	}
	if e.Timestamps {
		if err := setTimestamp(fd, e); err != nil {
			return err
		}
	}
	if err := i.fill(&receive); err != nil {
		return err
	}
	if err := setWindow(fd, &e.Window); err != nil {
		return err
	}
	if e.ReadShut {
		if _, _, errno := syscall.RawSyscall(unix.SYS_SHUTDOWN, uintptr(fd), unix.SHUT_RD, 0); errno != 0 {
			return &callError{"shutdown SHUT_RD", errno}
		}
	}
	if err := i.setQuietOptions(); err != nil {
		return err
	}
	return receive.settle(fd)
}

func (i *Inserted) setCongestion() error {
	name := i.endpoint.Options.Congestion
	if name == "" {
		return nil
	}
	err := optCongestion.setName(i.fd, name)
	if isErrno(err, unix.ENOENT) || isErrno(err, unix.EPERM) {
		i.notes = append(i.notes, fmt.Errorf("congestion control %s: %w; the host's default is used", name, unwrapErrno(err)))
		return nil
	}
	return err
}

// connect binds and connects; in repair mode that makes an established
// connection and sends nothing.
func (i *Inserted) connect() error {
	e := i.endpoint
	err := bindTo(i.fd, e.Local)
	if isErrno(err, unix.EADDRNOTAVAIL) {
		// The address is not on this host yet.
		if err := optFreeBind.set(i.fd, 1); err != nil {
			return err
		}
		err = bindTo(i.fd, e.Local)
	}
	if err != nil {
		return err
	}
	err = connectTo(i.fd, e.Remote)
	switch {
	case isErrno(err, unix.EADDRNOTAVAIL):
		return &Error{Op: "insert", Call: "connect", Tuple: e.Tuple(), Kind: ErrExists, Err: unix.EADDRNOTAVAIL}
	case isErrno(err, unix.ENETUNREACH), isErrno(err, unix.EHOSTUNREACH):
		return &Error{Op: "insert", Call: "connect", Tuple: e.Tuple(), Kind: ErrNoRoute, Err: unwrapErrno(err)}
	}
	return err
}

// fill writes the queues; the receive queue is selected. What was never sent is
// not written: Activate sends it.
func (i *Inserted) fill(receive *buffer) error {
	fd, e := i.fd, i.endpoint
	if len(e.Received) > 0 {
		if err := putAll(fd, e.Received, receive); err != nil {
			return err
		}
	}
	if len(e.Sent) == 0 {
		return nil
	}
	if err := optRepairQueue.set(fd, sendQueue); err != nil {
		return err
	}
	if err := putAll(fd, e.Sent, &i.send); err != nil {
		return err
	}
	return optRepairQueue.set(fd, noQueue)
}

// putAll writes b to the selected queue or to the connection, and makes room
// for what does not fit.
func putAll(fd int, b []byte, room *buffer) error {
	for len(b) > 0 {
		n, errno := put(fd, b)
		switch errno {
		case 0:
			b = b[n:]
		case unix.EINTR:
		case unix.EAGAIN, unix.ENOMEM, unix.ENOBUFS:
			if err := room.grow(fd); err != nil {
				return err
			}
		default:
			return &callError{"send", errno}
		}
	}
	return nil
}

package framework

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// listener accepts on the contact address. It is a plain TCP socket, not an
// MPTCP one as Go's own listeners are (TCP_REPAIR does not know MPTCP), with the
// backlog of the configuration, and it binds to an address that is not on the
// host yet. The options of what it accepts are the kernel's defaults: the
// application sets its own.
type listener struct {
	file *os.File // in Go's poller
	raw  syscall.RawConn
	addr netip.AddrPort
	// netns names the network namespace: SO_NETNS_COOKIE.
	netns  uint64
	closed atomic.Bool
}

// listen opens it. The error names the address and the kernel's reason.
func listen(at netip.AddrPort, backlog int) (*listener, error) {
	fail := func(what string, err error) (*listener, error) {
		return nil, fmt.Errorf("framework: listen on %v: %s: %w", at, what, err)
	}
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if err != nil {
		return fail("socket", err)
	}
	file := os.NewFile(uintptr(fd), "listener "+at.String())
	for _, o := range []struct {
		name       string
		level, opt int
	}{
		{"SO_REUSEADDR", unix.SOL_SOCKET, unix.SO_REUSEADDR}, // connections of a former daemon may live on
		{"IPV6_V6ONLY", unix.IPPROTO_IPV6, unix.IPV6_V6ONLY},
		{"IPV6_FREEBIND", unix.IPPROTO_IPV6, unix.IPV6_FREEBIND},
	} {
		if err := unix.SetsockoptInt(fd, o.level, o.opt, 1); err != nil {
			file.Close()
			return fail(o.name, err)
		}
	}
	sa := &unix.SockaddrInet6{Port: int(at.Port()), Addr: at.Addr().As16()}
	if at.Addr().Zone() != "" {
		ifi, err := net.InterfaceByName(at.Addr().Zone())
		if err != nil {
			file.Close()
			return fail("zone", err)
		}
		sa.ZoneId = uint32(ifi.Index)
	}
	if err := unix.Bind(fd, sa); err != nil {
		file.Close()
		return fail("bind", err)
	}
	if err := unix.Listen(fd, backlog); err != nil {
		file.Close()
		return fail("listen", err)
	}
	bound, err := unix.Getsockname(fd)
	if err != nil {
		file.Close()
		return fail("getsockname", err)
	}
	raw, err := file.SyscallConn()
	if err != nil {
		file.Close()
		return fail("poller", err)
	}
	// Linux before 5.14 has no cookie; adoptable says so when it matters.
	cookie, _ := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	return &listener{file: file, raw: raw, addr: addrPort(bound), netns: cookie}, nil
}

// accept waits for a connection and gives its descriptor, non-blocking. The error
// is net.ErrClosed after close.
func (l *listener) accept() (int, error) {
	var fd int
	var err error
	if werr := l.raw.Read(func(s uintptr) bool {
		for {
			fd, _, err = unix.Accept4(int(s), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
			// A connection that was reset while it waited is no fault.
			if err != unix.EINTR && err != unix.ECONNABORTED {
				return err != unix.EAGAIN
			}
		}
	}); werr != nil {
		if l.closed.Load() { // the poller's own word for it is not exported
			werr = net.ErrClosed
		}
		return -1, werr
	}
	if err != nil {
		return -1, os.NewSyscallError("accept4", err)
	}
	return fd, nil
}

// drain ends the listening and gives what was not accepted yet: closing the
// socket before would reset these connections. A backlog of 0 first keeps
// others from coming.
func (l *listener) drain() []int {
	var fds []int
	l.raw.Control(func(s uintptr) {
		unix.Listen(int(s), 0)
		for {
			fd, _, err := unix.Accept4(int(s), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
			if err == nil {
				fds = append(fds, fd)
			} else if err != unix.EINTR && err != unix.ECONNABORTED {
				return
			}
		}
	})
	l.close()
	return fds
}

func (l *listener) close() {
	l.closed.Store(true)
	l.file.Close()
}

// acceptClients accepts until the listener is closed. At most Backlog clients
// are being distributed at one time; the kernel keeps the others waiting.
func (s *Service) acceptClients(failed chan<- error) {
	const first, most = 5 * time.Millisecond, time.Second
	pause := first
	for {
		select {
		case s.slots <- struct{}{}:
		case <-s.ended:
			return
		}
		fd, err := s.ln.accept()
		switch {
		case err == nil:
			pause = first
			if s.call(func() { s.newConn(fd) }) != nil {
				closeInOrder(fd, s.cfg.Linger, nil)
				return
			}
		case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE), errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.ENOMEM):
			s.log.Warn("cannot accept for the moment", "err", err, "pause", pause)
			<-s.slots
			select {
			case <-time.After(pause):
			case <-s.ended:
				return
			}
			pause = min(2*pause, most)
		case errors.Is(err, net.ErrClosed):
			return
		default:
			failed <- fmt.Errorf("framework: accept on %v: %w", s.ln.addr, err)
			return
		}
	}
}

// OnThisHost tells whether an address is one of this host's: what is sent there
// has the same address as its source. Nothing is sent for that.
func OnThisHost(a netip.Addr) bool {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	if a.Zone() != "" || unix.Connect(fd, &unix.SockaddrInet6{Addr: a.As16(), Port: 9}) != nil {
		return false
	}
	from, err := unix.Getsockname(fd)
	return err == nil && addrPort(from).Addr() == a
}

// addrPort converts an IPv6 socket address.
func addrPort(sa unix.Sockaddr) netip.AddrPort {
	in6, ok := sa.(*unix.SockaddrInet6)
	if !ok {
		return netip.AddrPort{}
	}
	a := netip.AddrFrom16(in6.Addr)
	if in6.ZoneId != 0 {
		if ifi, err := net.InterfaceByIndex(int(in6.ZoneId)); err == nil {
			a = a.WithZone(ifi.Name)
		}
	}
	return netip.AddrPortFrom(a, uint16(in6.Port))
}

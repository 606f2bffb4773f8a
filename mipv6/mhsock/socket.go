package mhsock

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/vanycast/vanycast/mipv6"
)

// Socket is a Conn on this host's network namespace. It needs CAP_NET_RAW.
type Socket struct {
	log      *slog.Logger
	mobility *receiver // IPPROTO_MH
	icmp     *receiver // IPPROTO_ICMPV6
	raw      *endpoint // IPPROTO_RAW, for sending
	close    sync.Once
	closeErr error
}

var _ Conn = (*Socket)(nil)

// Open opens the sockets in the network namespace of the calling thread.
func Open(logger *slog.Logger) (*Socket, error) {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	s := &Socket{log: logger}
	for _, open := range []func(*Socket) error{openMobility, openICMP, openRaw} {
		if err := open(s); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	return s, nil
}

// Close closes the sockets; whoever waits in Receive or ReceiveError gets
// net.ErrClosed.
func (s *Socket) Close() error {
	s.close.Do(func() {
		var errs []error
		if s.mobility != nil {
			errs = append(errs, s.mobility.close())
		}
		if s.icmp != nil {
			errs = append(errs, s.icmp.close())
		}
		if s.raw != nil {
			errs = append(errs, s.raw.close())
		}
		s.closeErr = errors.Join(errs...)
	})
	return s.closeErr
}

func openMobility(s *Socket) error {
	e, err := newEndpoint("IPPROTO_MH", mipv6.ProtocolMobility, func(fd int) error {
		for _, option := range []int{unix.IPV6_RECVPKTINFO, unix.IPV6_RECVDSTOPTS} {
			if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, option, 1); err != nil {
				return os.NewSyscallError(fmt.Sprintf("setsockopt %d", option), err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.mobility = newReceiver(e)
	return nil
}

func openICMP(s *Socket) error {
	e, err := newEndpoint("IPPROTO_ICMPV6", unix.IPPROTO_ICMPV6, func(fd int) error {
		// A set bit blocks its type; only errors (types 1 to 4) may pass.
		var f unix.ICMPv6Filter
		for i := range f.Data {
			f.Data[i] = ^uint32(0)
		}
		f.Data[0] &^= 1<<TypeDestinationUnreachable | 1<<TypePacketTooBig | 1<<TypeTimeExceeded | 1<<TypeParameterProblem
		return os.NewSyscallError("setsockopt ICMP6_FILTER", unix.SetsockoptICMPv6Filter(fd, unix.SOL_ICMPV6, unix.ICMPV6_FILTER, &f))
	})
	if err != nil {
		return err
	}
	s.icmp = newReceiver(e)
	return nil
}

func openRaw(s *Socket) error {
	e, err := newEndpoint("IPPROTO_RAW", unix.IPPROTO_RAW, func(fd int) error {
		// It receives nothing, so it needs room for nothing.
		return os.NewSyscallError("setsockopt SO_RCVBUF", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 0))
	})
	if err != nil {
		return err
	}
	s.raw = e
	return nil
}

// endpoint is one raw socket, driven by the runtime's poller.
type endpoint struct {
	name string
	file *os.File
	conn syscall.RawConn
	// closed, because conn reports a closed file by an error that the os
	// package keeps to itself.
	closed atomic.Bool
}

func (e *endpoint) close() error {
	e.closed.Store(true)
	return e.file.Close()
}

func newEndpoint(name string, protocol int, setup func(fd int) error) (*endpoint, error) {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return nil, fmt.Errorf("mhsock: open %s socket: %w", name, os.NewSyscallError("socket", err))
	}
	if err := setup(fd); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("mhsock: set up %s socket: %w", name, err)
	}
	// NewFile gives a non-blocking descriptor to the poller, so that Close and
	// deadlines end a waiting read.
	file := os.NewFile(uintptr(fd), name)
	conn, err := file.SyscallConn()
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("mhsock: set up %s socket: %w", name, err)
	}
	return &endpoint{name: name, file: file, conn: conn}, nil
}

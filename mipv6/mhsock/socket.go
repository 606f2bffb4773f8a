package mhsock

import (
	"errors"
	"fmt"
	"log/slog"
	"os"

	"golang.org/x/sys/unix"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/internal/rawsock"
)

// Socket is a Conn on this host's network namespace. It needs CAP_NET_RAW.
type Socket struct {
	log      *slog.Logger
	mobility *rawsock.Socket // IPPROTO_MH
	icmp     *rawsock.Socket // IPPROTO_ICMPV6
	raw      *rawsock.Socket // IPPROTO_RAW, for sending
}

var _ Conn = (*Socket)(nil)

// Open opens the sockets in the network namespace of the calling thread.
func Open(logger *slog.Logger) (*Socket, error) {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	s := &Socket{log: logger}
	for _, o := range []struct {
		socket   **rawsock.Socket
		name     string
		protocol int
		setup    func(fd int) error
	}{
		{&s.mobility, "IPPROTO_MH", mipv6.ProtocolMobility, setupMobility},
		{&s.icmp, "IPPROTO_ICMPV6", unix.IPPROTO_ICMPV6, setupICMP},
		{&s.raw, "IPPROTO_RAW", unix.IPPROTO_RAW, setupRaw},
	} {
		var err error
		if *o.socket, err = rawsock.Open(o.name, o.protocol, o.setup); err != nil {
			return nil, fmt.Errorf("mhsock: %w", errors.Join(err, s.Close()))
		}
	}
	return s, nil
}

// Close closes the sockets; whoever waits in Receive or ReceiveError gets
// net.ErrClosed.
func (s *Socket) Close() error {
	var errs []error
	for _, r := range []*rawsock.Socket{s.mobility, s.icmp, s.raw} {
		if r != nil {
			errs = append(errs, r.Close())
		}
	}
	return errors.Join(errs...)
}

func setupMobility(fd int) error {
	for _, option := range []int{unix.IPV6_RECVPKTINFO, unix.IPV6_RECVDSTOPTS} {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, option, 1); err != nil {
			return os.NewSyscallError(fmt.Sprintf("setsockopt %d", option), err)
		}
	}
	return nil
}

func setupICMP(fd int) error {
	// A set bit blocks its type; only errors (types 1 to 4) may pass.
	var f unix.ICMPv6Filter
	for i := range f.Data {
		f.Data[i] = ^uint32(0)
	}
	f.Data[0] &^= 1<<TypeDestinationUnreachable | 1<<TypePacketTooBig | 1<<TypeTimeExceeded | 1<<TypeParameterProblem
	return os.NewSyscallError("setsockopt ICMP6_FILTER", unix.SetsockoptICMPv6Filter(fd, unix.SOL_ICMPV6, unix.ICMPV6_FILTER, &f))
}

func setupRaw(fd int) error {
	// It receives nothing, so it needs room for nothing.
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 0); err != nil {
		return os.NewSyscallError("setsockopt SO_RCVBUF", err)
	}
	// What the home agent sends to a group (neighbour discovery) is for others.
	return os.NewSyscallError("setsockopt IPV6_MULTICAST_LOOP", unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_LOOP, 0))
}

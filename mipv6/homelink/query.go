package homelink

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/vanycast/vanycast/mipv6/internal/nd"
	"github.com/vanycast/vanycast/mipv6/internal/rawsock"
)

// ICMP is an ICMPv6 message that is for a home agent: a query of a mobile node
// (RFC 6275 §6.5, §6.7), or an error about a packet of a tunnel (RFC 2473 §8).
type ICMP struct {
	Src, Dst netip.Addr // Src is the home address, if there was a Home Address option
	Data     []byte     // from the type on; the checksum is right
}

// ICMPv6 errors (RFC 4443 §3) that a packet of a tunnel may draw. Packet Too
// Big is the data plane's.
const (
	typeDestinationUnreachable = 1
	typeTimeExceeded           = 3
	typeParameterProblem       = 4
)

// openQueries opens the socket for what mobile nodes ask, from wherever they
// are: unlike the other one it hears every interface.
func openQueries() (*rawsock.Socket, error) {
	types := []int{
		nd.TypeHomeAgentRequest, nd.TypePrefixSolicitation,
		typeDestinationUnreachable, typeTimeExceeded, typeParameterProblem,
	}
	return rawsock.Open("home agent queries", nd.Protocol, func(fd int) error {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1); err != nil {
			return os.NewSyscallError("setsockopt IPV6_RECVPKTINFO", err)
		}
		return onlyTypes(fd, types)
	})
}

// JoinAnycast makes the host answer to an anycast address of the home link
// until Close: the home agents' (RFC 6275 §10.5).
func (l *Link) JoinAnycast(a netip.Addr) error {
	return l.change(func() error {
		err := l.queries.Control(func(fd int) error {
			return unix.SetsockoptIPv6Mreq(fd, unix.IPPROTO_IPV6, unix.IPV6_JOIN_ANYCAST,
				&unix.IPv6Mreq{Multiaddr: a.As16(), Interface: uint32(l.iface.Index)})
		})
		if err != nil {
			return fmt.Errorf("join anycast address %v: %w", a, os.NewSyscallError("setsockopt IPV6_JOIN_ANYCAST", err))
		}
		return nil
	})
}

// ReceiveICMP waits for the next message. Errors as of Receive.
func (l *Link) ReceiveICMP(ctx context.Context) (ICMP, error) {
	var got ICMP
	err := l.queries.Each(ctx, func(d rawsock.Datagram) bool {
		dst, ok := destination(d.Control)
		got = ICMP{Src: d.From, Dst: dst, Data: bytes.Clone(d.Data)}
		return ok
	})
	if err != nil {
		return ICMP{}, fmt.Errorf("homelink: %s: %w", l.iface.Name, err)
	}
	return got, nil
}

// destination is the address of an IPV6_PKTINFO.
func destination(control []byte) (netip.Addr, bool) {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return netip.Addr{}, false
	}
	for _, m := range messages {
		if m.Header.Level == unix.IPPROTO_IPV6 && m.Header.Type == unix.IPV6_PKTINFO && len(m.Data) >= unix.SizeofInet6Pktinfo {
			var info unix.Inet6Pktinfo
			copy(unsafe.Slice((*byte)(unsafe.Pointer(&info)), unix.SizeofInet6Pktinfo), m.Data)
			return netip.AddrFrom16(info.Addr), true
		}
	}
	return netip.Addr{}, false
}

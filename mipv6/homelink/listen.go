package homelink

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"github.com/vanycast/vanycast/mipv6/internal/nd"
	"github.com/vanycast/vanycast/mipv6/internal/rawsock"
)

// Neighbour is a message of neighbour discovery that a node on the home link
// sent: a Neighbor Solicitation or Advertisement, or one of routers.
type Neighbour struct {
	Src           netip.Addr // unspecified: duplicate address detection
	Target        netip.Addr
	Advertisement bool             // of Target, else a solicitation
	LinkLayer     net.HardwareAddr // of the option, if any
	Nonce         []byte           // RFC 7527: tells own probes that come back

	// Router is a Router Advertisement; RouterSolicitation says that it is a
	// Router Solicitation. Then Target is invalid.
	Router             *nd.RouterAdvertisement
	RouterSolicitation bool
}

func openSocket(iface string) (*rawsock.Socket, error) {
	types := []int{nd.TypeSolicitation, nd.TypeAdvertisement, nd.TypeRouterSolicitation, nd.TypeRouterAdvertisement}
	return rawsock.Open("neighbour discovery", nd.Protocol, func(fd int) error {
		if err := unix.BindToDevice(fd, iface); err != nil {
			return os.NewSyscallError("setsockopt SO_BINDTODEVICE", err)
		}
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVHOPLIMIT, 1); err != nil {
			return os.NewSyscallError("setsockopt IPV6_RECVHOPLIMIT", err)
		}
		return onlyTypes(fd, types)
	})
}

// onlyTypes has an ICMPv6 socket receive these types.
func onlyTypes(fd int, types []int) error {
	// A set bit blocks its type.
	var f unix.ICMPv6Filter
	for i := range f.Data {
		f.Data[i] = ^uint32(0)
	}
	for _, t := range types {
		f.Data[t/32] &^= 1 << (t % 32)
	}
	return os.NewSyscallError("setsockopt ICMP6_FILTER", unix.SetsockoptICMPv6Filter(fd, unix.SOL_ICMPV6, unix.ICMPV6_FILTER, &f))
}

// Watch makes Receive hear solicitations for an address that is not ours: those
// of others who probe it, too (RFC 4862 §5.4.2).
func (l *Link) Watch(a netip.Addr) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.watched[a] {
		return nil
	}
	if !l.watchesGroup(a) {
		if err := l.group(a, unix.IPV6_JOIN_GROUP, "join"); err != nil {
			return err
		}
	}
	l.watched[a] = true
	return nil
}

// Unwatch ends Watch. It succeeds if it was not so.
func (l *Link) Unwatch(a netip.Addr) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.watched[a] {
		return nil
	}
	delete(l.watched, a)
	if l.watchesGroup(a) {
		return nil
	}
	return l.group(a, unix.IPV6_LEAVE_GROUP, "leave")
}

// watchesGroup tells whether an address that shares a's group is watched.
func (l *Link) watchesGroup(a netip.Addr) bool {
	for w := range l.watched {
		if nd.SolicitedNode(w) == nd.SolicitedNode(a) {
			return true
		}
	}
	return false
}

func (l *Link) group(a netip.Addr, option int, what string) error {
	group := nd.SolicitedNode(a)
	err := l.socket.Control(func(fd int) error {
		return unix.SetsockoptIPv6Mreq(fd, unix.IPPROTO_IPV6, option, &unix.IPv6Mreq{Multiaddr: group.As16(), Interface: uint32(l.iface.Index)})
	})
	if err != nil {
		return fmt.Errorf("homelink: %s: %s group %v: %w", l.iface.Name, what, group, err)
	}
	return nil
}

// Receive waits for the next message of a neighbour. It returns ctx's error
// when ctx ends, and net.ErrClosed after Close. What a router may have
// forwarded, and what is malformed, is not reported (RFC 4861 §7.1).
func (l *Link) Receive(ctx context.Context) (Neighbour, error) {
	var got Neighbour
	err := l.socket.Each(ctx, func(d rawsock.Datagram) bool {
		if hopLimit(d.Control) != nd.HopLimit {
			return false
		}
		var ok bool
		got, ok = neighbour(d)
		return ok
	})
	if err != nil {
		return Neighbour{}, fmt.Errorf("homelink: %s: %w", l.iface.Name, err)
	}
	return got, nil
}

func neighbour(d rawsock.Datagram) (Neighbour, bool) {
	if nd.IsRouterSolicitation(d.Data) {
		return Neighbour{Src: d.From, RouterSolicitation: true}, true
	}
	if len(d.Data) > 0 && d.Data[0] == nd.TypeRouterAdvertisement {
		r, err := nd.ParseRouterAdvertisement(d.Data)
		// RFC 4861 §6.1.2: only from a link-local address.
		return Neighbour{Src: d.From, Router: r}, err == nil && d.From.IsLinkLocalUnicast()
	}
	m, err := nd.Parse(d.Data)
	if err != nil {
		return Neighbour{}, false
	}
	return Neighbour{Src: d.From, Target: m.Target, Advertisement: m.Advertisement, LinkLayer: m.LinkLayer, Nonce: m.Nonce}, true
}

func hopLimit(control []byte) int {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return 0
	}
	for _, m := range messages {
		if m.Header.Level == unix.IPPROTO_IPV6 && m.Header.Type == unix.IPV6_HOPLIMIT && len(m.Data) >= 4 {
			return int(binary.NativeEndian.Uint32(m.Data))
		}
	}
	return 0
}

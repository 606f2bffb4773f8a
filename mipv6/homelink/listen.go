package homelink

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"github.com/vanycast/vanycast/mipv6/internal/nd"
	"github.com/vanycast/vanycast/mipv6/internal/rawsock"
)

// Neighbour is a message of neighbour discovery that a node on the home link
// sent.
type Neighbour struct {
	Src           netip.Addr // unspecified: duplicate address detection
	Target        netip.Addr
	Advertisement bool   // else a solicitation
	Nonce         []byte // RFC 7527: tells own probes that come back
}

func openSocket(iface string) (*rawsock.Socket, error) {
	return rawsock.Open("neighbour discovery", nd.Protocol, func(fd int) error {
		if err := unix.BindToDevice(fd, iface); err != nil {
			return os.NewSyscallError("setsockopt SO_BINDTODEVICE", err)
		}
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVHOPLIMIT, 1); err != nil {
			return os.NewSyscallError("setsockopt IPV6_RECVHOPLIMIT", err)
		}
		// A set bit blocks its type.
		var f unix.ICMPv6Filter
		for i := range f.Data {
			f.Data[i] = ^uint32(0)
		}
		for _, t := range []int{nd.TypeSolicitation, nd.TypeAdvertisement} {
			f.Data[t/32] &^= 1 << (t % 32)
		}
		return os.NewSyscallError("setsockopt ICMP6_FILTER", unix.SetsockoptICMPv6Filter(fd, unix.SOL_ICMPV6, unix.ICMPV6_FILTER, &f))
	})
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
		m, err := nd.Parse(d.Data)
		if err != nil || hopLimit(d.Control) != nd.HopLimit {
			return false
		}
		got = Neighbour{Src: d.From, Target: m.Target, Advertisement: m.Advertisement, Nonce: m.Nonce}
		return true
	})
	if err != nil {
		return Neighbour{}, fmt.Errorf("homelink: %s: %w", l.iface.Name, err)
	}
	return got, nil
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

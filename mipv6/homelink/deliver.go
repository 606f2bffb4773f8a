package homelink

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// etherIPv6 is the EtherType of IPv6 (RFC 2464 §3), in the byte order that a
// struct sockaddr_ll wants.
var etherIPv6 = binary.NativeEndian.Uint16([]byte{0x86, 0xdd})

// Deliver sends a whole IPv6 packet to a neighbour's link-layer address,
// past the routing table: there the neighbour's address may lead elsewhere, as
// that of a mobile node does while it is registered.
func (l *Link) Deliver(packet []byte, to net.HardwareAddr) error {
	return l.change(func() error {
		if len(to) == 0 || len(to) > 8 {
			return fmt.Errorf("deliver to %q: %w", to, errLinkLayer)
		}
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return os.NewSyscallError("socket", err)
		}
		defer unix.Close(fd)
		// Past the data plane's filter, too: it would send the packet into the
		// tunnel.
		if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1); err != nil {
			return os.NewSyscallError("setsockopt PACKET_QDISC_BYPASS", err)
		}
		address := &unix.SockaddrLinklayer{Protocol: etherIPv6, Ifindex: l.iface.Index, Halen: uint8(len(to))}
		copy(address.Addr[:], to)
		if err := unix.Sendto(fd, packet, 0, address); err != nil {
			return fmt.Errorf("deliver to %v: %w", to, os.NewSyscallError("sendto", err))
		}
		return nil
	})
}

var errLinkLayer = errors.New("not a link-layer address")

// LinkLocal is the interface's link-local address, which router advertisements
// come from; invalid if it has none.
func (l *Link) LinkLocal() netip.Addr { return l.linkLocal }

func linkLocalOf(iface *net.Interface) netip.Addr {
	addrs, err := iface.Addrs()
	if err != nil {
		return netip.Addr{}
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is6() && p.Addr().IsLinkLocalUnicast() {
			return p.Addr().WithZone("")
		}
	}
	return netip.Addr{}
}

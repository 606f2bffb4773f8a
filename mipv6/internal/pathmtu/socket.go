package pathmtu

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// Sockets hear Packet Too Big messages and tell translated ones to the local
// kernel.
type Sockets struct {
	receive net.PacketConn
	send    int // IPPROTO_RAW: whole packets
}

// Open opens them in the network namespace of the calling thread.
func Open() (*Sockets, error) {
	c, err := net.ListenPacket("ip6:ipv6-icmp", "::")
	if err != nil {
		return nil, fmt.Errorf("opening a raw ICMPv6 socket: %w", err)
	}
	var only ipv6.ICMPFilter
	only.SetAll(true)
	only.Accept(ipv6.ICMPTypePacketTooBig)
	if err := ipv6.NewPacketConn(c).SetICMPFilter(&only); err != nil {
		return nil, errors.Join(fmt.Errorf("filtering the raw ICMPv6 socket: %w", err), c.Close())
	}
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_RAW)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening a raw IPv6 socket: %w", err), c.Close())
	}
	return &Sockets{receive: c, send: fd}, nil
}

// Close closes both.
func (s *Sockets) Close() error { return errors.Join(s.receive.Close(), unix.Close(s.send)) }

// Tell hands a Packet Too Big message to the local kernel as if the router had
// quoted the packet that its sender made: its transport sends smaller from then on.
func (s *Sockets) Tell(router netip.Addr, mtu int, original []byte) error {
	return s.tell(router, mtu, original)
}

// TellPath lets the local kernel know the MTU of the path between two addresses,
// the first of which is its own, whatever transport uses it: for a message about
// an ICMPv6 packet the kernel asks for no socket.
func (s *Sockets) TellPath(router netip.Addr, mtu int, from, to netip.Addr) error {
	packet := make([]byte, ipv6Length+transportLength)
	packet[0] = 6 << 4
	packet[5] = transportLength
	packet[6], packet[7] = icmpv6, 64
	copy(packet[8:], from.AsSlice())
	copy(packet[24:], to.AsSlice())
	return s.tell(router, mtu, packet)
}

// tell sends the message to the quoted packet's source. Where that is a transport
// of this host the message never leaves it.
func (s *Sockets) tell(router netip.Addr, mtu int, quoted []byte) error {
	to := netip.AddrFrom16([16]byte(quoted[8:24]))
	if !router.IsGlobalUnicast() {
		router = to
	}
	packet := tooBig(router, to, mtu, quoted)
	if err := unix.Sendto(s.send, packet, 0, &unix.SockaddrInet6{Addr: to.As16()}); err != nil {
		return fmt.Errorf("telling %v of a path MTU of %d: %w", to, mtu, err)
	}
	return nil
}

// MinimumMTU is IPv6's, RFC 8200 §5.
const MinimumMTU = 1280

const (
	icmpv6             = 58
	typePacketTooBig   = 2
	tooBigHeaderLength = 8
)

// tooBig makes the whole packet, RFC 4443 §3.2: as much of the original as keeps
// it within the minimum MTU.
func tooBig(from, to netip.Addr, mtu int, original []byte) []byte {
	original = original[:min(len(original), MinimumMTU-ipv6Length-tooBigHeaderLength)]
	length := tooBigHeaderLength + len(original)
	b := make([]byte, ipv6Length+length)
	b[0] = 6 << 4
	binary.BigEndian.PutUint16(b[4:], uint16(length))
	b[6] = icmpv6
	b[7] = 64
	copy(b[8:], from.AsSlice())
	copy(b[24:], to.AsSlice())
	body := b[ipv6Length:]
	body[0] = typePacketTooBig
	binary.BigEndian.PutUint32(body[4:], uint32(mtu))
	copy(body[tooBigHeaderLength:], original)
	binary.BigEndian.PutUint16(body[2:], checksum(b[8:40], icmpv6, body))
	return b
}

// checksum is the Internet checksum over the pseudo-header (RFC 8200 §8.1) and
// the body, whose own checksum field is zero.
func checksum(addresses []byte, next byte, body []byte) uint16 {
	sum := uint32(len(body)) + uint32(next)
	for _, b := range [][]byte{addresses, body} {
		for ; len(b) > 1; b = b[2:] {
			sum += uint32(binary.BigEndian.Uint16(b))
		}
		if len(b) == 1 {
			sum += uint32(b[0]) << 8
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

package tcbpf

import (
	"encoding/binary"
	"net/netip"

	"github.com/vanycast/vanycast/mipv6/dataplane"
)

// What the keeper reads from its TUN interface: an offload header (struct
// virtio_net_hdr), then the packet. It may be a superpacket and its checksum may be
// left to be computed: the header says so, and both go back with it as they came.
const (
	offloadLength    = 10
	offloadFlags     = 0 // byte
	offloadCsumStart = 6 // where the checksum begins, 16 bits, native order
	offloadNeedsCsum = 1 // of the flags

	protocolHopByHop = 0
	protocolTCP      = 6
	protocolUDP      = 17
)

// flowOf tells which flow a packet that came for a contact address belongs to,
// as incoming_route of bpf/flow.h does; ok is false for what is no IPv6 packet.
func flowOf(packet []byte) (f dataplane.Flow, ok bool) {
	if len(packet) < ipv6Length || packet[0]>>4 != 6 {
		return f, false
	}
	f.Client = netip.AddrFrom16([16]byte(packet[8:24]))
	f.Home = netip.AddrFrom16([16]byte(packet[24:40]))
	next, body := packet[6], packet[ipv6Length:]
	const quoteAt = 8
	if next == icmpv6 && len(body) >= quoteAt+ipv6Length && body[0] < 128 {
		if quoted := outgoingFlowOf(body[quoteAt:]); quoted.Home == f.Home {
			return quoted, true
		}
	}
	f.ClientPort, f.HomePort, _ = portsOf(next, body)
	return f, true
}

// outgoingFlowOf does so for a packet that a contact address sent, at least a
// base header.
func outgoingFlowOf(packet []byte) (f dataplane.Flow) {
	f.Home = netip.AddrFrom16([16]byte(packet[8:24]))
	f.Client = netip.AddrFrom16([16]byte(packet[24:40]))
	f.HomePort, f.ClientPort, _ = portsOf(packet[6], packet[ipv6Length:])
	return f
}

// portsOf reads the ports of TCP or UDP behind at most two headers of options,
// as the programs do; a port of 0, which no connection has, is none.
func portsOf(next byte, body []byte) (source, destination uint16, ok bool) {
	for range 3 {
		switch {
		case (next == protocolTCP || next == protocolUDP) && len(body) >= 4:
			source, destination = binary.BigEndian.Uint16(body), binary.BigEndian.Uint16(body[2:])
			if source == 0 || destination == 0 {
				return 0, 0, false
			}
			return source, destination, true
		case (next == protocolHopByHop || next == protocolOptions) && len(body) >= 2:
			length := (int(body[1]) + 1) * 8
			if length > len(body) {
				return 0, 0, false
			}
			next, body = body[0], body[length:]
		default:
			return 0, 0, false
		}
	}
	return 0, 0, false
}

// steeredSYN takes the tunnel off a SYN that the program sent for a decision, in
// place: what is left is offload header and packet. source is the tunnel's other
// end, destination ours.
func steeredSYN(b []byte) (syn []byte, f dataplane.Flow, source, destination netip.Addr, ok bool) {
	if len(b) < offloadLength+2*ipv6Length {
		return nil, f, source, destination, false
	}
	outer := b[offloadLength:]
	if outer[0]>>4 != 6 {
		return nil, f, source, destination, false
	}
	source = netip.AddrFrom16([16]byte(outer[8:24]))
	destination = netip.AddrFrom16([16]byte(outer[24:40]))
	size := ipv6Length
	for next := outer[6]; next != protocolIPv6; {
		if (next != protocolHopByHop && next != protocolOptions) || len(outer) < size+2 {
			return nil, f, source, destination, false
		}
		next, size = outer[size], size+(int(outer[size+1])+1)*8
	}
	if len(outer) < size+ipv6Length || outer[size+6] != protocolTCP {
		return nil, f, source, destination, false
	}
	if f, ok = flowOf(outer[size:]); !ok || !f.IsConnection() {
		return nil, f, source, destination, false
	}
	if b[offloadFlags]&offloadNeedsCsum != 0 {
		start := int(binary.NativeEndian.Uint16(b[offloadCsumStart:]))
		if start < size {
			return nil, f, source, destination, false
		}
		binary.NativeEndian.PutUint16(b[offloadCsumStart:], uint16(start-size))
	}
	binary.NativeEndian.PutUint16(b[2:], 0) // the length of the headers is advice only
	copy(b[size:], b[:offloadLength])
	return b[size:], f, source, destination, true
}

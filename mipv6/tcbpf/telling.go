package tcbpf

import (
	"encoding/binary"
	"errors"
	"net/netip"

	"github.com/vanycast/vanycast/mipv6/internal/pathmtu"
)

// maxTells bounds the Packet Too Big messages of ours that leave this host, per
// second: a flood of large packets must not become one of answers.
const maxTells = 100

var errTooOften = errors.New("too many messages in this second")

// tellOthers sends a Packet Too Big about a packet that is not of this host.
func (p *Plane) tellOthers(from netip.Addr, mtu int, original []byte) error {
	if p.tells.Add(-1) < 0 {
		return errTooOften
	}
	return p.icmp.Tell(from, mtu, original)
}

// tellClient tells a client that what it sends does not fit the way to the
// replica that serves it. Less than the minimum it would not heed.
func (p *Plane) tellClient(careOf netip.Addr, mtu int, original []byte) error {
	return p.tellOthers(careOf, max(mtu, pathmtu.MinimumMTU), original)
}

// tellTooLong answers a packet that the program would not relay.
func (p *Plane) tellTooLong(original []byte, mtu int, careOf netip.Addr) {
	p.own.tooBigIn.Add(1)
	if err := p.tellClient(careOf, mtu, original); err != nil {
		p.own.tooBigInvalid.Add(1)
		p.logger.Debug("client is not told what fits", "mtu", mtu, "error", err)
		return
	}
	p.own.tooBigTold.Add(1)
}

// tunnelled is the packet, which may be cut off, in a tunnel.
func tunnelled(from, to netip.Addr, inner []byte) []byte {
	length := ipv6Length + int(binary.BigEndian.Uint16(inner[4:]))
	b := make([]byte, ipv6Length, ipv6Length+len(inner))
	b[0] = 6 << 4
	binary.BigEndian.PutUint16(b[4:], uint16(min(length, maxPacket)))
	b[6], b[7] = protocolIPv6, 64
	copy(b[8:], from.AsSlice())
	copy(b[24:], to.AsSlice())
	return append(b, inner...)
}

package mhsock

import (
	"fmt"

	"github.com/vanycast/vanycast/mipv6"
)

// DefaultHopLimit stands in the packets that do not say theirs.
const DefaultHopLimit = 64

// Send implements Conn. The route is looked up for the packet's source and
// destination as they stand in the IPv6 header.
func (s *Socket) Send(p *mipv6.Packet) error { return s.SendMarked(p, 0) }

// SendMarked is Send of a packet that the kernel's IPsec policies know by a mark
// (SO_MARK), unless it is 0.
func (s *Socket) SendMarked(p *mipv6.Packet, mark uint32) error {
	if p.HopLimit == 0 {
		with := *p
		with.HopLimit = DefaultHopLimit
		p = &with
	}
	b, err := p.MarshalBinary()
	if err != nil {
		return err
	}
	if err := s.raw.SendMarked(b, p.Src, p.Dst, mark); err != nil {
		return fmt.Errorf("mhsock: send %d octets from %v to %v: %w", len(b), p.Src, p.Dst, err)
	}
	return nil
}

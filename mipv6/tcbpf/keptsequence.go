package tcbpf

import (
	"encoding/binary"
	"slices"

	"github.com/vanycast/vanycast/mipv6/dataplane"
)

// inSequence puts the TCP segments of each connection in the order of their
// sequence numbers, in the places that they have together. What was kept may have
// come by two ways of different length, and a receiver that sees later segments first
// takes the others for lost. A segment that was sent again while its like was kept
// must not come before older ones: once the receiver has seen its timestamp it drops
// those (RFC 7323 section 5). So where all segments have timestamps these count first.
func inSequence(packets [][]byte) [][]byte {
	type place struct {
		segment
		at   int
		data []byte
	}
	connections := map[dataplane.Flow][]place{}
	for i, b := range packets {
		if s, ok := segmentOf(b[offloadLength:]); ok {
			connections[s.flow] = append(connections[s.flow], place{s, i, b})
		}
	}
	for _, c := range connections {
		stamped := !slices.ContainsFunc(c, func(p place) bool { return !p.stamped })
		sorted := slices.Clone(c)
		slices.SortStableFunc(sorted, func(a, b place) int {
			if d := int32(a.stamp - b.stamp); stamped && d != 0 {
				return int(d)
			}
			return int(int32(a.sequence - b.sequence))
		})
		for i, p := range c {
			packets[p.at] = sorted[i].data
		}
	}
	return packets
}

// segment is what of a TCP segment says when it was sent.
type segment struct {
	flow     dataplane.Flow // of one that a contact address sent, as the other end has it
	sequence uint32
	stamp    uint32 // TSval
	stamped  bool
}

func segmentOf(packet []byte) (s segment, ok bool) {
	const offsetAt, shortest = 12, 20
	s.flow, ok = flowOf(packet)
	if !ok || !s.flow.IsConnection() || packet[6] != protocolTCP || len(packet) < ipv6Length+8 {
		return s, false
	}
	tcp := packet[ipv6Length:]
	s.sequence = binary.BigEndian.Uint32(tcp[4:])
	if len(tcp) < shortest {
		return s, true
	}
	if length := int(tcp[offsetAt]>>4) * 4; length >= shortest && length <= len(tcp) {
		s.stamp, s.stamped = stampOf(tcp[shortest:length])
	}
	return s, true
}

// stampOf finds the timestamp among a segment's options.
func stampOf(options []byte) (value uint32, ok bool) {
	const end, none, timestamps, length = 0, 1, 8, 10
	for len(options) > 0 && options[0] != end {
		if options[0] == none {
			options = options[1:]
			continue
		}
		if len(options) < 2 || options[1] < 2 || int(options[1]) > len(options) {
			return 0, false
		}
		if options[0] == timestamps && options[1] == length {
			return binary.BigEndian.Uint32(options[2:]), true
		}
		options = options[options[1]:]
	}
	return 0, false
}

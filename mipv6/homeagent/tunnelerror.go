package homeagent

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"time"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/bindings"
	"github.com/vanycast/vanycast/mipv6/homelink"
	"github.com/vanycast/vanycast/mipv6/internal/nd"
)

const (
	protocolIPv6 = 41

	icmpHeaderLen   = 8
	icmpUnreachable = 1
	codeAddress     = 3    // address unreachable
	firstInfo       = 128  // ICMPv6 types below are errors
	minimumMTU      = 1280 // what an error fits into (RFC 4443 §2.4(c))
	ipv6HeaderLen   = 40
)

// tunnelError tells the source of a packet that its way from here to the mobile
// node failed: the error names our tunnel, of which the source knows nothing
// (RFC 2473 §8.1, §8.2). Whatever the reason, for the source the mobile node's
// address is unreachable. Packet Too Big is the data plane's.
func (c *core) tunnelError(now time.Time, m homelink.ICMP) []action {
	if len(m.Data) < icmpHeaderLen {
		return nil
	}
	outer, err := mipv6.ParseQuoted(m.Data[icmpHeaderLen:])
	if err != nil || outer.Src != c.cfg.Address || outer.NextHeader != protocolIPv6 {
		return nil
	}
	inner, err := mipv6.ParseQuoted(outer.Payload)
	if err != nil || !mipv6.IsUnicastRoutable(inner.Src) || inner.Src == c.cfg.Address {
		return nil
	}
	// An error about an error is never sent (RFC 4443 §2.4(e)); without its type
	// an ICMPv6 message may be one.
	if inner.NextHeader == nd.Protocol && (len(inner.Payload) == 0 || inner.Payload[0] < firstInfo) {
		return nil
	}
	// Anyone can send an error. This one must be about a tunnel that there is.
	b, ok := c.cache.Lookup(now, bindings.Key{Local: c.cfg.Address, Home: inner.Dst})
	if !ok || b.CareOf != outer.Dst && (c.further == nil || !slices.Contains(c.further.CareOfs(inner.Dst), outer.Dst)) {
		return nil
	}
	c.count(CounterTunnelErrors)
	return c.limited(now, unreachable(c.cfg.Address, inner.Src, outer.Payload))
}

// unreachable is an ICMPv6 Destination Unreachable, code 3, about a packet.
func unreachable(src, dst netip.Addr, packet []byte) *mipv6.Packet {
	const most = minimumMTU - ipv6HeaderLen - icmpHeaderLen
	b := make([]byte, icmpHeaderLen, icmpHeaderLen+min(len(packet), most))
	b[0], b[1] = icmpUnreachable, codeAddress
	b = append(b, packet[:min(len(packet), most)]...)
	binary.BigEndian.PutUint16(b[2:], mipv6.Checksum(b, nd.Protocol, src, dst))
	return &mipv6.Packet{Src: src, Dst: dst, NextHeader: nd.Protocol, Payload: b}
}

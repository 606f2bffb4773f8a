package nd

import (
	"encoding/binary"
	"net"
	"net/netip"
	"time"

	"github.com/vanycast/vanycast/mipv6"
)

// ICMPv6 types of router discovery (RFC 4861 §4.1, §4.2).
const (
	TypeRouterSolicitation  = 133
	TypeRouterAdvertisement = 134
)

// AllRouters is the link-local all-routers group.
var AllRouters = netip.MustParseAddr("ff02::2")

const (
	routerSolicitationLen  = 8
	routerAdvertisementLen = 16

	offsetHopLimit       = 4
	offsetRouterFlags    = 5
	offsetRouterLifetime = 6

	flagHomeAgent = 0x20 // RFC 6275 §7.1
)

// RouterAdvertisement is what a home agent says and hears of in one.
type RouterAdvertisement struct {
	HomeAgent bool          // H flag (RFC 6275 §7.1)
	Lifetime  time.Duration // as a default router; whole seconds, at most 65535
	LinkLayer net.HardwareAddr
	Prefixes  []PrefixInformation
	Agent     *HomeAgentInformation // nil without the option
}

// Marshal encodes the ICMPv6 message with its checksum. Hop limit, reachable
// time and retransmission timer are left to the hosts.
func (r *RouterAdvertisement) Marshal(src, dst netip.Addr) []byte {
	b := make([]byte, routerAdvertisementLen)
	b[0] = TypeRouterAdvertisement
	if r.HomeAgent {
		b[offsetRouterFlags] |= flagHomeAgent
	}
	binary.BigEndian.PutUint16(b[offsetRouterLifetime:], seconds16(r.Lifetime))
	b = appendOption(b, optionSourceLinkLayer, r.LinkLayer)
	for _, p := range r.Prefixes {
		b = p.append(b)
	}
	if r.Agent != nil {
		b = r.Agent.append(b)
	}
	binary.BigEndian.PutUint16(b[2:], mipv6.Checksum(b, Protocol, src, dst))
	return b
}

// ParseRouterAdvertisement decodes an ICMPv6 message, whose checksum the kernel
// has verified. RFC 4861 §6.1.2 also wants a link-local source and hop limit
// 255: that is the caller's to check.
func ParseRouterAdvertisement(b []byte) (*RouterAdvertisement, error) {
	if len(b) < routerAdvertisementLen || b[0] != TypeRouterAdvertisement || b[1] != 0 {
		return nil, ErrMalformed
	}
	o, err := parseOptions(b[routerAdvertisementLen:])
	if err != nil {
		return nil, err
	}
	return &RouterAdvertisement{
		HomeAgent: b[offsetRouterFlags]&flagHomeAgent != 0,
		Lifetime:  time.Duration(binary.BigEndian.Uint16(b[offsetRouterLifetime:])) * time.Second,
		LinkLayer: o.linkLayer, Prefixes: o.prefixes, Agent: o.agent,
	}, nil
}

// IsRouterSolicitation tells whether an ICMPv6 message is a well-formed one.
func IsRouterSolicitation(b []byte) bool {
	if len(b) < routerSolicitationLen || b[0] != TypeRouterSolicitation || b[1] != 0 {
		return false
	}
	_, err := parseOptions(b[routerSolicitationLen:])
	return err == nil
}

package describe

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/vanycast/vanycast/mipv6/internal/nd"
)

// discovery is an ICMPv6 message of router, home agent or prefix discovery in
// one line, "" if it is another.
func discovery(b []byte) string {
	const header, address, prefixOption = 8, 16, 32
	switch b[0] {
	case nd.TypeRouterAdvertisement:
		r, err := nd.ParseRouterAdvertisement(b)
		if err != nil {
			return err.Error()
		}
		s := fmt.Sprintf("Router Advertisement, home agent %v, lifetime %v", r.HomeAgent, r.Lifetime)
		for _, p := range r.Prefixes {
			s += ", " + prefixInformation(p)
		}
		if r.Agent != nil {
			s += fmt.Sprintf(", preference %d for %v", r.Agent.Preference, r.Agent.Lifetime)
		}
		return s
	case nd.TypeHomeAgentReply:
		var list []string
		for a := b[header:]; len(a) >= address; a = a[address:] {
			list = append(list, netip.AddrFrom16([address]byte(a)).String())
		}
		return fmt.Sprintf("Home Agent Address Discovery Reply %x: %s", b[4:6], strings.Join(list, ", "))
	case nd.TypePrefixAdvertisement:
		s := fmt.Sprintf("Mobile Prefix Advertisement %x", b[4:6])
		// Its options are those of a Router Advertisement.
		for o := b[header:]; len(o) >= prefixOption; o = o[prefixOption:] {
			if p, ok := nd.ParsePrefixInformation(o); ok {
				s += ", " + prefixInformation(p)
			}
		}
		return s
	}
	return ""
}

func prefixInformation(p nd.PrefixInformation) string {
	s := fmt.Sprintf("prefix %v valid %v preferred %v", p.Prefix, p.Valid, p.Preferred)
	if p.RouterAddress {
		s += " R"
	}
	return s
}

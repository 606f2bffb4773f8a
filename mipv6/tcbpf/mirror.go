package tcbpf

import (
	"net/netip"

	"github.com/vanycast/vanycast/mipv6/internal/hostnet"
)

// ends are where packets go and what their source is then.
type ends struct{ to, source netip.Addr }

// hopTo is the host's lookup, remembered for the moment: a handoff asks for the
// same client and peer several times, and so does the next one. The host's changes
// end what is remembered, and the time: what the kernel learns of a path's MTU is
// no change that it tells (follow.go).
func (p *Plane) hopTo(to, source netip.Addr) (hostnet.Hop, error) {
	const most = 4096
	if h, ok := p.hops[ends{to, source}]; ok {
		return h, nil
	}
	h, err := p.host.Lookup(to, source)
	if err != nil {
		return hostnet.Hop{}, err
	}
	if len(p.hops) >= most {
		clear(p.hops)
	}
	p.hops[ends{to, source}] = h
	return h, nil
}

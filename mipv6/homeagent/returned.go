package homeagent

import (
	"net"
	"net/netip"
	"time"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/homelink"
	"github.com/vanycast/vanycast/mipv6/internal/nd"
)

// returned is an answer for a mobile node that writes from the home link while
// its registration stands (RFC 6275 §11.5.5): a de-registration that was
// refused. Its home address leads into the tunnel then, so the answer is
// delivered to its link-layer address, which is asked for first.
type returned struct {
	packet *mipv6.Packet
	left   int // solicitations
	due    time.Time
}

// toHome sends an answer whose destination is the mobile node's home address.
func (c *core) toHome(now time.Time, p *mipv6.Packet) []action {
	home := p.Dst
	if _, asking := c.returned[home]; !asking && len(c.returned) >= maxPending {
		return nil
	}
	c.returned[home] = &returned{packet: p, left: maxSolicitations, due: now}
	return c.askHome(now, home)
}

// askHome asks the home link for a mobile node's link-layer address.
func (c *core) askHome(now time.Time, home netip.Addr) []action {
	r := c.returned[home]
	if r.left == 0 {
		delete(c.returned, home)
		return nil
	}
	r.left--
	r.due = now.Add(retransTimer)
	m := nd.Message{Target: home, LinkLayer: c.linkLayer}
	return []action{c.neighbour(&m, c.cfg.Address, nd.SolicitedNode(home))}
}

// atHome takes a neighbour's advertisement of such an address; false if it is
// about none.
func (c *core) atHome(n homelink.Neighbour) (actions []action, taken bool) {
	r := c.returned[n.Target]
	if r == nil || !n.Advertisement || len(n.LinkLayer) == 0 {
		return nil, false
	}
	delete(c.returned, n.Target)
	return []action{{kind: actDeliver, packet: r.packet, linkLayer: append(net.HardwareAddr(nil), n.LinkLayer...)}}, true
}

func (c *core) dueReturned(now time.Time) (due []netip.Addr) {
	for _, home := range sortedAddrs(c.returned) {
		if !now.Before(c.returned[home].due) {
			due = append(due, home)
		}
	}
	return due
}

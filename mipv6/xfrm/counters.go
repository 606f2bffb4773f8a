package xfrm

import (
	"maps"
	"sync/atomic"

	"github.com/vishvananda/netlink"

	"github.com/vanycast/vanycast/mipv6/dataplane"
)

// ownCounters are what this process counts itself.
type ownCounters struct {
	unknownHome, eventsLost, tooBigIn, tooBigInvalid, tooBigTold, mirrored atomic.Uint64
}

// Counters implements dataplane.Plane; a closed plane has none. The kernel does
// not count what a policy blocks (eBPF beside it does), nor Mobility Headers apart. Segments of a
// superpacket count one by one.
func (p *Plane) Counters() map[string]uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return map[string]uint64{}
	}
	all := map[string]uint64{
		dataplane.CounterTunnelledOut: 0, dataplane.CounterTunnelledIn: 0,
		dataplane.CounterOptimisedOut: 0, dataplane.CounterOptimisedIn: 0,
		dataplane.CounterCorrespondentOut: 0, dataplane.CounterCorrespondentIn: 0,
		dataplane.CounterHomeAgentOut: 0, dataplane.CounterHomeAgentIn: 0,
		dataplane.CounterDropNative: 0, dataplane.CounterDropDestination: 0, dataplane.CounterDropContactGone: 0,
		dataplane.CounterDropUnknownHome: p.own.unknownHome.Load(),
		dataplane.CounterEventsLost:      p.own.eventsLost.Load(),
		dataplane.CounterTooBigIn:        p.own.tooBigIn.Load(),
		dataplane.CounterTooBigInvalid:   p.own.tooBigInvalid.Load(),
		dataplane.CounterTooBigTold:      p.own.tooBigTold.Load(),
		dataplane.CounterMirrored:        p.own.mirrored.Load(),
	}
	maps.Copy(all, p.past)
	states, err := p.conn.states()
	if err != nil {
		p.logger.Error("reading counters", "err", err)
	}
	for _, s := range states {
		if name := p.counterOf(s); name != "" {
			all[name] += s.packets
		}
	}
	for _, d := range p.devices {
		p.countDevice(d, all)
	}
	seen := p.guardPackets()
	for _, g := range p.guards {
		g.count(seen, all)
	}
	if p.beside != nil {
		for name, n := range p.beside.Counters() {
			all[name] += n
		}
	}
	return all
}

// counterOf names the counter that a state's packets belong to, or none.
func (p *Plane) counterOf(s stateInfo) string {
	_, fromContact := p.contacts[s.src]
	switch {
	case s.protocol == hao && fromContact:
		return dataplane.CounterOptimisedOut
	case s.protocol == hao && !s.wild:
		return dataplane.CounterCorrespondentIn
	case s.protocol == route2 && s.wild:
		return dataplane.CounterOptimisedIn
	case s.protocol == route2:
		return dataplane.CounterCorrespondentOut
	default:
		return ""
	}
}

// countDevice adds what went through a tunnel.
func (p *Plane) countDevice(d *device, all map[string]uint64) {
	link, err := p.host.Netlink.LinkByIndex(d.link.Attrs().Index)
	if err != nil || link.Attrs().Statistics == nil {
		p.logger.Error("reading a counter", "interface", d.link.Attrs().Name, "err", err)
		return
	}
	sent, received := dataplane.CounterTunnelledOut, dataplane.CounterTunnelledIn
	if d.role == agentEnd {
		sent, received = dataplane.CounterHomeAgentOut, dataplane.CounterHomeAgentIn
	}
	all[sent] += link.Attrs().Statistics.TxPackets
	all[received] += link.Attrs().Statistics.RxPackets
}

// keepDeviceCounters does so for good: the tunnel goes.
func (p *Plane) keepDeviceCounters(d *device) { p.countDevice(d, p.past) }

// guardPackets is how many packets each filter of the interface has dropped.
func (p *Plane) guardPackets() map[hook]map[uint32]uint64 {
	seen := map[hook]map[uint32]uint64{ingress: {}, egress: {}}
	for at, packets := range seen {
		list, err := p.host.Netlink.FilterList(p.host.Link, uint32(at))
		if err != nil {
			p.logger.Error("reading counters of filters", "err", err)
			continue
		}
		for _, f := range list {
			u, ok := f.(*netlink.U32)
			if !ok || !isOurs(f) || len(u.Actions) == 0 {
				continue
			}
			if s := u.Actions[0].Attrs().Statistics; s != nil && s.Basic != nil {
				packets[u.Handle] = uint64(s.Basic.Packets)
			}
		}
	}
	return seen
}

// count adds what a guard has dropped.
func (g *guard) count(seen map[hook]map[uint32]uint64, all map[string]uint64) {
	sent := dataplane.CounterDropDestination
	if g.gone {
		sent = dataplane.CounterDropContactGone
	}
	all[sent] += seen[egress][g.handles[egress]] - g.counted
	all[dataplane.CounterDropNative] += seen[ingress][g.handles[ingress]]
}

// keepGuardCounters does so for good: the contact address, or the guard itself,
// goes.
func (p *Plane) keepGuardCounters(g *guard) {
	seen := p.guardPackets()
	g.count(seen, p.past)
	g.counted = seen[egress][g.handles[egress]]
}

package tcbpf

import (
	"sync/atomic"

	"github.com/vanycast/vanycast/mipv6/dataplane"
)

// counterNames are those of enum counter in bpf/maps.h, in its order.
var counterNames = [...]string{
	dataplane.CounterTunnelledOut,
	dataplane.CounterTunnelledIn,
	dataplane.CounterOptimisedOut,
	dataplane.CounterOptimisedIn,
	dataplane.CounterHeldOut,
	dataplane.CounterHeldIn,
	dataplane.CounterRelayedOut,
	dataplane.CounterRelayedIn,
	dataplane.CounterRelayToPeer,
	dataplane.CounterRelayFromPeer,
	dataplane.CounterDirectOut,
	dataplane.CounterKept,
	dataplane.CounterSteered,
	dataplane.CounterSteerOverflow,
	dataplane.CounterCorrespondentOut,
	dataplane.CounterCorrespondentIn,
	dataplane.CounterMobilityIn,
	dataplane.CounterHomeAgentOut,
	dataplane.CounterHomeAgentIn,
	dataplane.CounterMobilityTaken,
	dataplane.CounterDropContactGone,
	dataplane.CounterDropDestination,
	dataplane.CounterDropNative,
	dataplane.CounterDropUnknownHome,
	dataplane.CounterDropHomeInvalid,
	dataplane.CounterDropRoom,
	dataplane.CounterDropSize,
	dataplane.CounterDropCongestion,
	dataplane.CounterDropUnprotected,
	dataplane.CounterDropForeignTunnel,
	dataplane.CounterDropForwarded,
	dataplane.CounterDropNotOwner,
	dataplane.CounterDropHopLimit,
	dataplane.CounterDropRelaySize,
	dataplane.CounterEventsLost,
}

// ownCounters are what this process counts itself.
type ownCounters struct {
	tooBigIn, tooBigInvalid, tooBigTold, eventsLost, mirrored atomic.Uint64
}

// ringDrops is what found no room on its way to the keeper.
func (p *Plane) ringDrops() uint64 {
	if p.keeper == nil {
		return 0
	}
	link, err := p.host.Netlink.LinkByIndex(p.keeper.index)
	if err != nil {
		p.logger.Error("reading the keeper's interface", "error", err)
		return 0
	}
	return link.Attrs().Statistics.TxDropped
}

// Counters implements dataplane.Plane. The names are in dataplane/constants.go;
// a closed plane has none.
func (p *Plane) Counters() map[string]uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := map[string]uint64{}
	if p.closed {
		return all
	}
	for i, name := range counterNames {
		var perCPU []uint64
		if err := p.programs.Counters.Lookup(uint32(i), &perCPU); err != nil {
			p.logger.Error("reading a counter", "counter", name, "err", err)
			continue
		}
		for _, n := range perCPU {
			all[name] += n
		}
	}
	all[dataplane.CounterEventsLost] += p.own.eventsLost.Load()
	written, dropped, local := p.keeper.counters()
	all[dataplane.CounterKeptReleased] = written
	all[dataplane.CounterKeptDropped] = dropped + p.ringDrops()
	all[dataplane.CounterSteerOverflow] += local
	all[dataplane.CounterTooBigIn] = p.own.tooBigIn.Load()
	all[dataplane.CounterTooBigInvalid] = p.own.tooBigInvalid.Load()
	all[dataplane.CounterTooBigTold] = p.own.tooBigTold.Load()
	all[dataplane.CounterMirrored] = p.own.mirrored.Load()
	return all
}

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
	dataplane.CounterEventsLost,
}

// ownCounters are what this process counts itself.
type ownCounters struct {
	tooBigIn, tooBigInvalid, tooBigTold, eventsLost, mirrored atomic.Uint64
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
			p.logger.Error("reading a counter", "counter", name, "error", err)
			continue
		}
		for _, n := range perCPU {
			all[name] += n
		}
	}
	all[dataplane.CounterEventsLost] += p.own.eventsLost.Load()
	all[dataplane.CounterTooBigIn] = p.own.tooBigIn.Load()
	all[dataplane.CounterTooBigInvalid] = p.own.tooBigInvalid.Load()
	all[dataplane.CounterTooBigTold] = p.own.tooBigTold.Load()
	all[dataplane.CounterMirrored] = p.own.mirrored.Load()
	return all
}

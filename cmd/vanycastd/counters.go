package main

import "sync/atomic"

// signalling counts the Mobility Headers that no role wants.
type signalling struct {
	malformed, unclaimed, answered atomic.Uint64
}

func (s *signalling) counters() map[string]uint64 {
	return map[string]uint64{
		"dropped_malformed": s.malformed.Load(), // what mipv6.Parse did not accept
		"dropped_unclaimed": s.unclaimed.Load(), // messages that are for no role of this host
		"errors_sent":       s.answered.Load(),  // Binding Errors and parameter problems
	}
}

// counters are those of all parts, by "part.name": parts have names in common.
func (d *host) counters() map[string]uint64 {
	all := make(map[string]uint64)
	add := func(part string, counters map[string]uint64) {
		for name, n := range counters {
			all[part+"."+name] = n
		}
	}
	add("dataplane", d.plane.Counters())
	add("signalling", d.signalling.counters())
	if d.ipsec != nil {
		add("ipsec", d.ipsec.Counters())
	}
	if d.correspondent != nil {
		add("correspondent", d.correspondent.Counters())
	}
	if d.homeAgent != nil {
		add("home_agent", d.homeAgent.Counters())
	}
	if d.replica != nil {
		add("anycast", d.replica.anycast.Counters())
		add("relay", d.replica.anycast.RelayCounters())
		add("handoff", d.replica.agent.Counters())
		add("peers", d.replica.peers.Counters())
	}
	return all
}

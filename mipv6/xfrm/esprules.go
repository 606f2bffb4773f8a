package xfrm

import (
	"net/netip"

	"github.com/vanycast/vanycast/mipv6/ipsec"
)

// espRules are all associations and policies that are declared.
type espRules struct {
	states   map[espID]espState
	policies map[espPolicyID]espPolicy
}

// nowhere is an address for trying.
var nowhere = netip.MustParseAddr("100::1")

// rulesOf is RFC 3776 §4.2, in the kernel's words. Whole packets of ours are known
// by their pair's mark. What comes in is held against the home address only: the
// associations of all pairs of one home address have the same reqids, so that any
// of them, of any generation, will do.
func rulesOf(pairs []ipsec.KernelPair) espRules {
	r := espRules{map[espID]espState{}, map[espPolicyID]espPolicy{}}
	reqids := map[netip.Addr]uint32{}
	for _, p := range pairs {
		first, ok := reqids[p.Home]
		if !ok {
			first = espFirst + uint32(len(reqids)*len(ipsec.Purposes()))
			reqids[p.Home] = first
		}
		reqid := func(purpose ipsec.Purpose) uint32 { return first + uint32(purpose) }
		for _, g := range p.Generations {
			for _, purpose := range ipsec.Purposes() {
				s := pairState(p, purpose)
				a := g.Associations[purpose]
				s.spi, s.reqid, s.algorithm, s.key = a.SPI, reqid(purpose), g.Algorithm, a.Key.Expose()
				s.sequence = p.Numbers[a.SPI]
				r.states[s.espID] = s
			}
		}
		for _, q := range pairPolicies(p) {
			purpose := ipsec.Purpose(q.reqid)
			if q.reqid = reqid(purpose); q.route2 {
				q.reqid = 0
			}
			if q.direction == out {
				if len(p.Generations) == 0 {
					continue // nothing is said: the daemon sees to that
				}
				q.spi = p.Generations[p.Sending].Associations[purpose].SPI
			}
			r.policies[q.espPolicyID] = q
		}
	}
	return r
}

// pairState has the addresses of an association, as they stand in the IPv6 header
// when the kernel gets to ESP: on the way out before the Home Address option and
// the type 2 routing header are looked at, on the way in after that.
func pairState(p ipsec.KernelPair, purpose ipsec.Purpose) espState {
	home, careOf, agent := p.Home, p.CareOf, p.HomeAgent
	replica := p.Side == ipsec.Replica
	s := espState{}
	switch purpose {
	case ipsec.Update:
		if s.src, s.dst = careOf, agent; !replica {
			s.src = home
			s.selector = selector{src: single(home), dst: single(agent), protocol: protocolMobility}
		}
		s.sends = replica
	case ipsec.Acknowledgement:
		if s.src, s.dst = agent, careOf; replica {
			s.dst = home
			s.selector = selector{src: single(agent), dst: single(home), protocol: protocolMobility}
		}
		s.sends = !replica
	case ipsec.TestInit:
		if s.src, s.dst = careOf, agent; !replica {
			s.selector = selector{src: single(home), dst: everywhere, protocol: protocolMobility}
		}
		s.sends, s.tunnel = replica, true
	case ipsec.Test:
		if s.src, s.dst = agent, careOf; replica {
			s.selector = selector{src: everywhere, dst: single(home), protocol: protocolMobility}
			s.mark = p.Mark
		}
		s.sends, s.tunnel = !replica, true
	}
	return s
}

// pairPolicies have their purpose in the place of a reqid. Those of a home agent's
// tunnel are there while the home address is registered at this replica.
//
// Kernels before 6.9 look for the type of a Mobility Header that comes in behind its
// end, so no policy here is for a type. What comes to a contact address by a tunnel
// of ESP has a mark; what has none comes from a client, with a type 2 routing
// header, and a home test never does.
func pairPolicies(p ipsec.KernelPair) []espPolicy {
	home, careOf, agent := single(p.Home), single(p.CareOf), single(p.HomeAgent)
	through := func(purpose ipsec.Purpose, id espPolicyID, src, dst netip.Addr) espPolicy {
		return espPolicy{espPolicyID: id, reqid: uint32(purpose), tunnel: true, src: src, dst: dst}
	}
	if p.Side == ipsec.Replica {
		return []espPolicy{
			{espPolicyID: espPolicyID{out, selector{src: careOf, dst: agent, protocol: protocolRaw}, p.Mark}, reqid: uint32(ipsec.Update)},
			{espPolicyID: espPolicyID{in, selector{src: agent, dst: home, protocol: protocolMobility}, 0}, reqid: uint32(ipsec.Acknowledgement)},
			through(ipsec.TestInit, espPolicyID{out, selector{src: home, dst: everywhere, protocol: protocolRaw}, p.Mark}, p.CareOf, p.HomeAgent),
			through(ipsec.Test, espPolicyID{in, selector{src: everywhere, dst: home, protocol: protocolMobility}, p.Mark}, p.HomeAgent, p.CareOf),
			{espPolicyID: espPolicyID{in, selector{src: everywhere, dst: home, protocol: protocolMobility}, 0}, route2: true},
		}
	}
	list := []espPolicy{
		{espPolicyID: espPolicyID{in, selector{src: home, dst: agent, protocol: protocolMobility}, 0}, reqid: uint32(ipsec.Update)},
		{espPolicyID: espPolicyID{out, selector{src: agent, dst: careOf, protocol: protocolRaw}, p.Mark}, reqid: uint32(ipsec.Acknowledgement)},
	}
	if p.Tunnel {
		list = append(list,
			through(ipsec.TestInit, espPolicyID{forward, selector{src: home, dst: everywhere, protocol: protocolMobility}, 0}, p.CareOf, p.HomeAgent),
			through(ipsec.Test, espPolicyID{out, selector{src: everywhere, dst: home, protocol: protocolMobility}, 0}, p.HomeAgent, p.CareOf))
	}
	return list
}

package xfrm

import (
	"net/netip"

	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/mipv6/internal/hostnet"
)

// rules are what one declaration needs in the kernel.
type rules struct {
	states   []state
	policies []policy
}

var (
	unspecified = netip.IPv6Unspecified()
	single      = hostnet.Single
	everywhere  = hostnet.Everywhere
)

// hostRules are there as long as the plane is. Whole packets of ours, which are
// Mobility Headers (package mhsock), bypass routes, holds and bindings (RFC 6275
// §6.1). A Home Address option in a packet to us is accepted from anybody
// with a Mobility Header (§9.3.1); other packets with one that no binding covers
// meet no policy, are dropped, and reported.
func hostRules(ignoreHomeAddress bool) rules {
	r := rules{policies: []policy{{
		policyID: policyID{out, selector{src: everywhere, dst: everywhere, protocol: protocolRaw}},
		priority: priorityMobility,
	}}}
	if ignoreHomeAddress {
		return r
	}
	r.states = append(r.states, state{stateID: stateID{unspecified, unspecified, hao}, careOf: unspecified, wild: true})
	r.policies = append(r.policies, policy{
		policyID:  policyID{in, selector{src: everywhere, dst: everywhere, protocol: protocolMobility}},
		priority:  priorityHome,
		templates: []template{{unspecified, unspecified, hao}},
	})
	return r
}

// contactRules: the type 2 routing header is taken off packets from anybody,
// which the policies then judge: Mobility Headers may have one or not, others
// only where a flow is optimised (§11.3.3). The home registration goes with a
// Home Address option if it is sent from the contact address (§11.7.1).
func contactRules(c dataplane.Contact) rules {
	home, agent := single(c.Home), single(c.HomeAgent)
	r := rules{
		states: []state{
			{stateID: stateID{unspecified, c.Home, route2}, careOf: c.CareOf, wild: true},
			{stateID: stateID{c.Home, c.HomeAgent, hao}, careOf: c.CareOf},
		},
		policies: []policy{
			{
				policyID:  policyID{out, selector{src: home, dst: agent, protocol: protocolMobility, mobility: typeBindingUpdate + 1}},
				priority:  priorityMobility,
				templates: []template{{c.Home, c.HomeAgent, hao}},
			},
			{
				policyID:  policyID{in, selector{src: everywhere, dst: home, protocol: protocolMobility}},
				priority:  priorityMobility,
				templates: []template{{unspecified, unspecified, route2}},
			},
		},
	}
	for _, link := range onlyOnLinks {
		r.policies = append(r.policies, policy{
			policyID: policyID{out, selector{src: home, dst: link}}, action: block, priority: priorityLink,
		})
	}
	return r
}

// onlyOnLinks is what a mobile node must not tunnel (§11.3.4), nor send natively:
// it is not at home.
var onlyOnLinks = []netip.Prefix{netip.MustParsePrefix("ff00::/8"), netip.MustParsePrefix("fe80::/10")}

// connectionRules: of a client's connection that is optimised, like a client's;
// of one that is not, that it is not, whatever its client is. How it goes then is
// decided at the tunnel's mouth.
func connectionRules(f dataplane.Flow, kind dataplane.RouteKind, careOf netip.Addr) rules {
	home, client := single(f.Home), single(f.Client)
	to := policy{
		policyID: policyID{out, selector{src: home, dst: client, srcPort: f.HomePort, dstPort: f.ClientPort}},
		priority: priorityConnection,
	}
	if kind != dataplane.Optimised {
		return rules{policies: []policy{to}}
	}
	from := policy{
		policyID:  policyID{in, selector{src: client, dst: home, srcPort: f.ClientPort, dstPort: f.HomePort}},
		priority:  priorityConnection,
		templates: []template{{unspecified, unspecified, route2}},
	}
	to.templates = []template{{f.Home, f.Client, hao}}
	return rules{[]state{{stateID: stateID{f.Home, f.Client, hao}, careOf: careOf}}, []policy{to, from}}
}

// flowRules: nothing for a flow that goes through the tunnel, which is what the
// routing table does with it; nor, where eBPF stands beside, for one that goes
// another way from its mouth, or is held there.
func flowRules(f dataplane.Flow, kind dataplane.RouteKind, careOf netip.Addr, beside bool) rules {
	if f.IsConnection() {
		return connectionRules(f, kind, careOf)
	}
	if beside && kind == dataplane.Held {
		return rules{}
	}
	home, client := single(f.Home), single(f.Client)
	to := policy{policyID: policyID{out, selector{src: home, dst: client}}}
	from := policy{policyID: policyID{in, selector{src: client, dst: home}}}
	switch kind {
	case dataplane.Optimised:
		to.priority, from.priority = priorityRoute, priorityRoute
		to.templates = []template{{f.Home, f.Client, hao}}
		from.templates = []template{{unspecified, unspecified, route2}}
		return rules{[]state{{stateID: stateID{f.Home, f.Client, hao}, careOf: careOf}}, []policy{to, from}}
	case dataplane.Held:
		// What it sends is not blocked but dropped: see hold.go.
		from.priority, from.action = priorityHeld, block
		return rules{policies: []policy{from}}
	default:
		return rules{}
	}
}

// bindingRules are the correspondent's (§9.3).
func bindingRules(b dataplane.Binding) rules {
	home, local := single(b.Home), single(b.Local)
	return rules{
		states: []state{
			{stateID: stateID{b.Home, b.Local, hao}, careOf: b.CareOf},
			{stateID: stateID{b.Local, b.Home, route2}, careOf: b.CareOf},
		},
		policies: []policy{
			{
				policyID: policyID{in, selector{src: home, dst: local}}, priority: priorityRoute,
				templates: []template{{b.Home, b.Local, hao}},
			},
			{
				policyID: policyID{out, selector{src: local, dst: home}}, priority: priorityRoute,
				templates: []template{{b.Local, b.Home, route2}},
			},
		},
	}
}

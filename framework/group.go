package framework

import (
	"errors"
	"net/netip"
	"time"

	"github.com/vanycast/vanycast/handoff"
)

// group is the replica group as this replica sees it (thesis §5.4.1, the static
// list): a replica that failed is left out for a while, then tried again. No
// I/O; time is passed in.
type group struct {
	self       netip.Addr
	excludeFor time.Duration
	members    []*member // in the order of the configuration, without self
}

// member is one other replica.
type member struct {
	addr     netip.Addr
	until    time.Time // excluded until then
	err      error     // the last failure, nil after a success
	accepted uint64    // handoffs it took
	failed   uint64    // handoffs it did not take

	standing standing // what it says of itself
	asked    bool     // it was asked, and answered
	away     error    // why not
	sent     uint64   // new connections that were steered to it
}

func newGroup(self netip.Addr, replicas []netip.Addr, excludeFor time.Duration) *group {
	g := &group{self: self, excludeFor: excludeFor}
	for _, a := range replicas {
		if a != self && g.member(a) == nil {
			g.members = append(g.members, &member{addr: a})
		}
	}
	return g
}

func (g *group) member(a netip.Addr) *member {
	for _, m := range g.members {
		if m.addr == a {
			return m
		}
	}
	return nil
}

// knows tells whether the address is one of the group's, self included.
func (g *group) knows(a netip.Addr) bool { return a == g.self || g.member(a) != nil }

// available lists the other replicas that may be selected now.
func (g *group) available(now time.Time) []netip.Addr {
	var out []netip.Addr
	for _, m := range g.members {
		if !now.Before(m.until) {
			out = append(out, m.addr)
		}
	}
	return out
}

// ready lists the other replicas that would take a new connection, as far as they
// said.
func (g *group) ready(now time.Time) []netip.Addr {
	var out []netip.Addr
	for _, m := range g.members {
		if m.asked && m.standing.ready() && !now.Before(m.until) {
			out = append(out, m.addr)
		}
	}
	return out
}

// reachable tells whether a replica is there, busy or not.
func (g *group) reachable(a netip.Addr) bool {
	m := g.member(a)
	return m != nil && m.asked && m.standing&(standsSteered|standsListening) == standsSteered|standsListening
}

// steered notes that a new connection was sent to a replica.
func (g *group) steered(a netip.Addr) {
	if m := g.member(a); m != nil {
		m.sent++
	}
}

// took notes that a replica took a client.
func (g *group) took(a netip.Addr) {
	if m := g.member(a); m != nil {
		m.accepted++
		m.err, m.until = nil, time.Time{}
	}
}

// failure notes that a replica did not take a client.
func (g *group) failure(now time.Time, a netip.Addr, err error) {
	m := g.member(a)
	if m == nil {
		return
	}
	m.failed++
	m.err = err
	if replicaFault(err) {
		m.until = now.Add(g.excludeFor)
	}
}

// replicaFault tells whether another client would meet the same failure. Not so
// where the replica answered and the reason lies in this client or in a moment's
// load.
func replicaFault(err error) bool {
	var refused *handoff.RefusedError
	if !errors.As(err, &refused) {
		return true // not reached, or lost
	}
	switch refused.Reason {
	case handoff.ReasonNoService, handoff.ReasonNoApplication, handoff.ReasonDraining, handoff.ReasonVersion:
		return true
	}
	return false
}

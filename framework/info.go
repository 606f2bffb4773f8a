package framework

import (
	"net/netip"
	"slices"
	"time"
)

// ClientInfo is what the operator sees of a client.
type ClientInfo struct {
	ID            uint64
	Service       string
	Local, Remote netip.AddrPort
	// State is selecting, probing, moving, queued, held or closing.
	State     string
	HandedOff bool
	From      netip.Addr // whose it was, if HandedOff
	Target    netip.Addr // whose it may be soon, while probing or moving
	Mobile    string     // does it have Mobile IPv6: "yes", "no", "unknown"
	Since     time.Time  // when it came to this replica
}

// Clients lists the clients at this replica, oldest first.
func (s *Service) Clients() []ClientInfo {
	var out []ClientInfo
	s.call(func() {
		for _, k := range s.core.keys() {
			cl := s.core.clients[k]
			i := ClientInfo{
				ID: cl.id, Service: s.cfg.Service, Local: cl.local, Remote: cl.remote, State: cl.phase.String(),
				HandedOff: cl.handedOff, From: cl.from, Mobile: "unknown", Since: cl.since,
			}
			switch {
			case cl.mobile:
				i.Mobile = "yes"
			case cl.immobile:
				i.Mobile = "no"
			}
			if cl.phase == phaseProbing || cl.phase == phaseMoving {
				i.Target = cl.place.target
			}
			out = append(out, i)
		}
	})
	return out
}

// InUse tells whether a client address has a connection here. It never waits
// for the service.
func (s *Service) InUse(client netip.Addr) bool { return s.core.live.of(client) > 0 }

// ReplicaInfo is what this replica thinks of another.
type ReplicaInfo struct {
	Address  netip.Addr
	Service  string
	Self     bool
	Excluded time.Time // not selected until then; zero: it may be selected
	Err      error     // its last failure, nil after a success
	Accepted uint64    // handoffs from here that it took
	Failed   uint64    // handoffs from here that it did not take
	Steered  uint64    // new connections that were sent to it from here
	Standing string    // what it says of itself, where it is asked: at the contact node
	// Listening: an application listens; known of Self only.
	Listening bool
}

// Replicas lists the replicas of the service by address, this one among them.
func (s *Service) Replicas() []ReplicaInfo {
	var out []ReplicaInfo
	s.call(func() {
		now := time.Now()
		out = append(out, ReplicaInfo{Address: s.cfg.Self, Service: s.cfg.Service, Self: true, Listening: len(s.core.sockets) > 0, Standing: s.core.standing().String()})
		for _, m := range s.core.group.members {
			i := ReplicaInfo{Address: m.addr, Service: s.cfg.Service, Err: m.err, Accepted: m.accepted, Failed: m.failed, Steered: m.sent}
			if m.asked {
				i.Standing = m.standing.String()
			}
			if now.Before(m.until) {
				i.Excluded = m.until
			}
			out = append(out, i)
		}
	})
	slices.SortFunc(out, func(a, b ReplicaInfo) int { return a.Address.Compare(b.Address) })
	return out
}

// Queue tells how many clients wait for an application, and how many may.
func (s *Service) Queue() (waiting, limit int) {
	s.call(func() { waiting = s.core.queue.Len() })
	return waiting, s.cfg.Backlog
}

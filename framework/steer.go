package framework

import (
	"net/netip"
	"time"
)

// Early is what a Policy also is that needs no look at the connection: at the
// contact node it is asked when a client's SYN comes, and the connection is
// established by the replica that it selects. Its Select must be quick: the next
// client waits for it.
type Early interface {
	Policy
	// Early tells whether the policy is one at present.
	Early() bool
}

// IsEarly tells whether a policy is asked at the SYN.
func IsEarly(p Policy) bool {
	e, ok := p.(Early)
	return ok && e.Early()
}

// Early: who serves the client does not depend on what the client says.
func (*random) Early() bool { return true }

// maxDecided bounds the clients that are known to be for the local application
// before they are accepted. Who finds no room is decided when it is accepted.
const maxDecided = 4096

// decidedFor is for how long: the kernel gives up its SYN-ACK after 63 s.
const decidedFor = 64 * time.Second

// decided are the connections of which only the SYN is known, decided for the local
// application. When there are too many, the oldest is forgotten.
type decided struct {
	until map[netip.AddrPort]time.Time
	order []netip.AddrPort // as they were decided; may have what is gone from until
}

func (d *decided) add(now time.Time, client netip.AddrPort) {
	if d.until == nil {
		d.until = make(map[netip.AddrPort]time.Time)
	}
	if _, again := d.until[client]; !again {
		d.order = append(d.order, client)
	}
	d.until[client] = now.Add(decidedFor)
	for len(d.order) > maxDecided {
		delete(d.until, d.order[0])
		d.order = d.order[1:]
	}
}

// has tells whether a client was decided for the local application.
func (d *decided) has(now time.Time, client netip.AddrPort) bool {
	until, ok := d.until[client]
	return ok && now.Before(until)
}

// take is has for a client that was accepted: it is one of many from now on.
func (d *decided) take(now time.Time, client netip.AddrPort) bool {
	ok := d.has(now, client)
	delete(d.until, client)
	return ok
}

// birth says what is known of a connection when it is accepted.
type birth uint8

const (
	bornAnywhere birth = iota // nothing
	bornHere                  // it was decided at its SYN that it is for this replica
)

// choice is what the policy is asked about a SYN; without one, target is the answer,
// and decided whether it is one.
type choice struct {
	target  netip.Addr
	decided bool
	policy  string
	view    View
	exclude map[netip.Addr]bool
}

// syn: a client's first segment came to the contact node. served is the replica that
// serves the client's other connections, if one is known to.
func (c *core) syn(now time.Time, client netip.AddrPort, served netip.Addr) choice {
	policy, neverSelf, _ := c.settings()
	here := choice{target: c.cfg.Self, decided: true}
	switch {
	case c.stopping || !c.contact():
		return choice{}
	case c.decided.has(now, client): // sent again
		return here
	case c.tiedTo(client):
		c.decided.add(now, client)
		return here
	case served.IsValid() && c.group.reachable(served):
		// A client that can be bound is bound to one replica, busy or not.
		return choice{target: served, decided: true}
	}
	ready := c.group.ready(now)
	if len(ready) == 0 {
		return choice{} // as without steering: offers find out who takes clients
	}
	return choice{policy: policy, view: View{
		Client: client, Self: c.cfg.Self, NeverSelf: neverSelf, Replicas: ready,
		Listening: len(c.sockets) > 0 && (!c.full() || c.credits.Len() > 0),
	}, exclude: map[netip.Addr]bool{}}
}

// tiedTo is tied, of a client that is not accepted yet.
func (c *core) tiedTo(client netip.AddrPort) bool {
	if c.live.of(client.Addr()) == 0 {
		return false
	}
	for _, cl := range c.clients {
		if cl.remote.Addr() == client.Addr() && cl.immobile {
			return false
		}
	}
	return true
}

// steered notes what the policy chose for a SYN.
func (c *core) steered(now time.Time, client netip.AddrPort, target netip.Addr) {
	if target == c.cfg.Self {
		c.decided.add(now, client)
		return
	}
	c.group.steered(target)
	c.do(observe{Event{Time: now, Kind: EventSteered, Service: c.cfg.Service, Client: client, Target: target}})
}

// Steer decides at the contact node who serves a connection of which only the SYN is
// known; false: this replica, undecided, as without steering. served is the replica
// that serves the client's other connections, if one is known to. It does not
// depend on the service's applications, and is quick.
func (s *Service) Steer(client netip.AddrPort, served netip.Addr) (target netip.Addr, ok bool) {
	var ch choice
	var p Policy
	if s.call(func() {
		if ch = s.core.syn(time.Now(), client, served); ch.decided || ch.policy == "" {
			return
		}
		p, _ = s.policy(ch.policy)
	}) != nil {
		return netip.Addr{}, false
	}
	if ch.decided {
		return ch.target, true
	}
	if !IsEarly(p) {
		return netip.Addr{}, false
	}
	if target, ok = p.Select(ch.view, ch.exclude); !ok || !ch.view.Listening && target == s.cfg.Self {
		return netip.Addr{}, false
	}
	s.post(func() { s.core.steered(time.Now(), client, target) })
	return target, true
}

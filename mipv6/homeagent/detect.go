package homeagent

import (
	"bytes"
	"io"
	"net/netip"
	"slices"
	"time"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/homelink"
	"github.com/vanycast/vanycast/mipv6/internal/nd"
)

// pending is a registration whose home address is in duplicate address
// detection on the home link (RFC 6275 §10.3.1, RFC 4862 §5.4).
type pending struct {
	answer *answer
	addrs  []netip.Addr
	nonce  []byte // in our probes; they may come back (RFC 7527)
	due    time.Time
}

// detect starts duplicate address detection for a new registration.
func (c *core) detect(now time.Time, a *answer) []action {
	if len(c.pending) >= maxPending {
		return c.refuse(now, a, mipv6.StatusInsufficientResources)
	}
	p := &pending{
		answer: a, addrs: defended(a.home(), a.update.LinkLocal),
		nonce: make([]byte, nonceLen), due: now.Add(retransTimer),
	}
	if _, err := io.ReadFull(c.random, p.nonce); err != nil {
		return c.refuse(now, a, mipv6.StatusReasonUnspecified)
	}
	c.pending[a.home()] = p
	var actions []action
	for _, addr := range p.addrs {
		actions = append(actions, action{kind: actWatch, addr: addr, answer: a})
	}
	for _, addr := range p.addrs {
		m := nd.Message{Target: addr, Nonce: p.nonce}
		actions = append(actions, c.neighbour(&m, netip.IPv6Unspecified(), nd.SolicitedNode(addr)))
	}
	return actions
}

// heard takes what a neighbour said. Who advertises an address that is being probed
// has it; who probes it at the same time wants it too: then neither gets it
// (RFC 4862 §5.4.3, §5.4.4).
func (c *core) heard(now time.Time, n homelink.Neighbour) (actions []action) {
	switch {
	case n.Router != nil:
		return c.routerHeard(now, n)
	case n.RouterSolicitation:
		c.routerSolicited(now)
		return nil
	}
	if actions, taken := c.atHome(n); taken {
		return actions
	}
	if !n.Advertisement && !n.Src.IsUnspecified() {
		return nil // somebody looks for the address
	}
	for _, home := range sortedAddrs(c.pending) {
		p := c.pending[home]
		if !slices.Contains(p.addrs, n.Target) || !n.Advertisement && bytes.Equal(n.Nonce, p.nonce) {
			continue
		}
		c.count(CounterDuplicate)
		actions = append(actions, c.unpend(home)...)
		actions = append(actions, c.refuse(now, p.answer, mipv6.StatusDuplicateAddressDetectionFailed)...)
	}
	return append(actions, c.defend(now, n)...)
}

// defence is an address that is kept on the home link for a mobile node.
type defence struct {
	home netip.Addr // of the registration
	last time.Time  // when it was last defended
}

// defend takes back an address that a neighbour claims although it is
// registered: the neighbours are told again where it is (RFC 6275 §10.4.1).
// Solicitations for it, duplicate address detection among them, the kernel
// answers as a proxy. Once in a while only, or two who claim it would fill the
// link.
func (c *core) defend(now time.Time, n homelink.Neighbour) []action {
	d, registered := c.defences[n.Target]
	if !registered || !n.Advertisement || bytes.Equal(n.LinkLayer, c.linkLayer) || now.Sub(d.last) < defendInterval {
		return nil
	}
	d.last = now
	c.defences[n.Target] = d
	c.count(CounterDefended)
	m := nd.Message{Advertisement: true, Override: true, Target: n.Target, LinkLayer: c.linkLayer}
	return []action{c.neighbour(&m, c.cfg.Address, nd.AllNodes)}
}

// duePending are the home addresses that nobody else has claimed in time.
func (c *core) duePending(now time.Time) (due []netip.Addr) {
	for _, home := range sortedAddrs(c.pending) {
		if !now.Before(c.pending[home].due) {
			due = append(due, home)
		}
	}
	return due
}

// unique accepts the registration of a home address that is nobody else's.
func (c *core) unique(now time.Time, home netip.Addr) []action {
	a := c.pending[home].answer
	return append(c.unpend(home), c.answered(now, a, c.cache.Update(now, a.request()))...)
}

// unpend ends a detection.
func (c *core) unpend(home netip.Addr) (actions []action) {
	for _, addr := range c.pending[home].addrs {
		actions = append(actions, action{kind: actUnwatch, addr: addr})
	}
	delete(c.pending, home)
	return actions
}

// advertisement is what the neighbours are still to be told of a registration.
type advertisement struct {
	left      int
	linkLocal bool
	due       time.Time
}

func (c *core) dueAdverts(now time.Time) (due []netip.Addr) {
	for _, home := range sortedAddrs(c.adverts) {
		if !now.Before(c.adverts[home].due) {
			due = append(due, home)
		}
	}
	return due
}

// advertise tells the neighbours that the address is here now: what they had in
// their caches is overridden (RFC 6275 §10.4.1).
func (c *core) advertise(now time.Time, home netip.Addr) (actions []action) {
	ad := c.adverts[home]
	for _, addr := range defended(home, ad.linkLocal) {
		m := nd.Message{Advertisement: true, Override: true, Target: addr, LinkLayer: c.linkLayer}
		actions = append(actions, c.neighbour(&m, c.cfg.Address, nd.AllNodes))
	}
	if ad.left--; ad.left == 0 {
		delete(c.adverts, home)
	}
	ad.due = now.Add(retransTimer)
	return actions
}

// neighbour sends a message of neighbour discovery on the home link.
func (c *core) neighbour(m *nd.Message, src, dst netip.Addr) action {
	return action{kind: actSend, packet: &mipv6.Packet{
		Src: src, Dst: dst.WithZone(c.zone), HopLimit: nd.HopLimit, NextHeader: nd.Protocol, Payload: m.Marshal(src, dst),
	}}
}

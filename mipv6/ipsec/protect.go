package ipsec

import (
	"errors"
	"fmt"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/mhsock"
)

const (
	protocolIPv6 = 41
	protocolESP  = 50
)

// ErrClear: the policy wants it protected, and it was not.
var ErrClear = errors.New("ipsec: not protected, and must be")

// Protect applies the policy to a packet that this host sends: it gives the
// packet itself where it may go in clear, or the one that goes in its place.
// Errors are ErrNoKeys, ErrClear, esp.ErrExhausted, and Store's: then nothing may
// be sent.
func (e *Endpoint) Protect(p *mipv6.Packet) (*mipv6.Packet, error) {
	if p.NextHeader != mipv6.ProtocolMobility {
		return p, nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	out, err := e.protect(p)
	switch {
	case err != nil:
		e.counters[CounterClearOut]++
	case out != p:
		e.counters[CounterSealed]++
	}
	return out, err
}

func (e *Endpoint) protect(p *mipv6.Packet) (*mipv6.Packet, error) {
	r, purpose := e.protector(p)
	switch {
	case r == nil && e.mustProtect(p):
		return nil, fmt.Errorf("%w: from %v to %v", ErrClear, p.Src, p.Dst)
	case r == nil:
		return p, nil
	case purpose == TestInit:
		return r.tunnel(p)
	}
	return r.transport(purpose, p)
}

// protector is the pair that protects a packet of ours, and what as; nil if none
// does.
func (e *Endpoint) protector(p *mipv6.Packet) (*ring, Purpose) {
	for pair, r := range e.rings {
		switch {
		case r.side == Replica && p.Src == pair.CareOf && p.Dst == pair.HomeAgent && p.HomeAddress == pair.Home:
			return r, Update
		case r.side == HomeAgent && p.Src == pair.HomeAgent && p.Dst == pair.CareOf && p.RoutingHome == pair.Home:
			return r, Acknowledgement
		case r.side == Replica && p.Src == pair.Home && !p.HomeAddress.IsValid():
			return r, TestInit
		}
	}
	return nil, purposes
}

// mustProtect tells whether a packet that no pair is for is one that may not go
// in clear all the same: a registration of a contact address, or what it says
// through its home agent.
func (e *Endpoint) mustProtect(p *mipv6.Packet) bool {
	for _, c := range e.contacts {
		if p.HomeAddress == c.Home && p.Dst == c.HomeAgent || p.Src == c.Home && !p.HomeAddress.IsValid() {
			return true
		}
	}
	return false
}

// transport replaces the Mobility Header by ESP; the headers before it stay
// (RFC 3776 §3.1).
func (r *ring) transport(purpose Purpose, p *mipv6.Packet) (*mipv6.Packet, error) {
	b, err := r.seal(purpose, p.NextHeader, p.Payload)
	if err != nil {
		return nil, err
	}
	out := *p
	out.NextHeader, out.Payload = protocolESP, b
	return &out, nil
}

// tunnel puts a packet of the contact address into one of the care-of address.
func (r *ring) tunnel(p *mipv6.Packet) (*mipv6.Packet, error) {
	inner := *p
	if inner.HopLimit == 0 {
		inner.HopLimit = mhsock.DefaultHopLimit
	}
	b, err := inner.MarshalBinary()
	if err != nil {
		return nil, err
	}
	sealed, err := r.seal(TestInit, protocolIPv6, b)
	if err != nil {
		return nil, err
	}
	return &mipv6.Packet{Src: r.pair.CareOf, Dst: r.pair.HomeAgent, NextHeader: protocolESP, Payload: sealed}, nil
}

// ProtectForwarded is for a home agent: packet is a whole IPv6 packet of a client
// to a registered home address; what it gives goes to the replica in its place.
// Errors as Protect.
func (e *Endpoint) ProtectForwarded(packet []byte) (*mipv6.Packet, error) {
	p, err := mipv6.ParsePacket(packet)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	r := e.ring(p.Dst, e.registered[p.Dst], HomeAgent)
	if r == nil {
		e.counters[CounterClearOut]++
		return nil, fmt.Errorf("%w: to %v, registered at %v", ErrNoKeys, p.Dst, e.registered[p.Dst])
	}
	b, err := r.seal(Test, protocolIPv6, packet)
	if err != nil {
		e.counters[CounterClearOut]++
		return nil, err
	}
	e.counters[CounterSealed]++
	return &mipv6.Packet{Src: r.pair.HomeAgent, Dst: r.pair.CareOf, NextHeader: protocolESP, Payload: b}, nil
}

package xfrm

import (
	"fmt"
	"net/netip"

	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/mipv6/internal/pathmtu"
	"github.com/vanycast/vanycast/mipv6/tcbpf"
)

// What the kernel's Mobile IPv6 has no words for is done by eBPF programs beside
// it (tcbpf.Beside): routes by other replicas, single connections off the tunnel,
// packets that are kept, SYNs that are steered. Tunnels and source routes of the
// kernel would do for some of it, but not for what comes with a type 2 routing
// header and is to go on to another replica (the kernel takes the header off only
// to deliver here), nor for what is kept. Kernels with Mobile IPv6 have eBPF as well,
// as distributions build them; on one that has not, the plane does the rest, and
// Features says so.

// standBeside puts the programs there, if this kernel can.
func (p *Plane) standBeside() {
	p.beside, p.noBeside = tcbpf.NewBeside(tcbpf.Config{
		Interface: p.cfg.Interface, Logger: p.logger, MaxRoutes: p.cfg.MaxRoutes, Keep: p.cfg.Keep,
	}, p.host, p.icmp, p.events)
	if p.noBeside != nil {
		p.beside = nil
		p.logger.Warn("no routes by other replicas, and none for single connections", "err", p.noBeside)
	}
}

// Features implements dataplane.Features' question.
func (p *Plane) Features() dataplane.Features {
	if p.beside == nil {
		return dataplane.Features{}
	}
	return p.beside.Features()
}

// Heard implements dataplane.Hearer.
func (p *Plane) Heard(f dataplane.Flow) (bool, error) {
	if p.beside == nil {
		return false, fmt.Errorf("xfrm: flow %v: heard: %w: %w", f, dataplane.ErrUnsupported, p.noBeside)
	}
	return p.beside.Heard(f)
}

// detach takes the programs off the interface.
func (p *Plane) detach() error {
	if p.beside == nil {
		return nil
	}
	return p.beside.Detach()
}

// tellBeside tells them of a contact address.
func (p *Plane) tellBeside(c *contact) error {
	if p.beside == nil {
		return nil
	}
	return p.beside.SetContact(c.Contact)
}

// besideTooBig lets them deal with a router's message about what they sent.
func (p *Plane) besideTooBig(router netip.Addr, mtu int, q pathmtu.Quote) (theirs bool) {
	if p.beside == nil || p.enter() != nil {
		return false
	}
	defer p.mu.Unlock()
	theirs, err := p.beside.TooBig(router, mtu, q)
	if !theirs {
		return false
	}
	p.own.tooBigIn.Add(1)
	if err != nil {
		p.own.tooBigInvalid.Add(1)
		p.logger.Debug("Packet Too Big is ignored", "router", router, "mtu", mtu, "source", q.Source, "destination", q.Destination, "err", err)
		return true
	}
	p.own.tooBigTold.Add(1)
	return true
}

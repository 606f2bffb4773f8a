package main

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/vanycast/vanycast/framework"
	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/peer"
	"github.com/vanycast/vanycast/relay"
)

// steers tells whether this host's data plane can have new connections decided at
// their SYN.
func (d *host) steers() bool {
	f := dataplane.FeaturesOf(d.plane)
	return f.Steer && f.Relay && f.Connections
}

// steered are the ports of a contact address that are steered where possible. A
// policy that would not be asked at the SYN spares its clients the wait.
func (r *replica) steered(contact netip.Addr) (ports []uint16) {
	for _, s := range r.d.cfg.Services {
		if p, err := framework.NewPolicy(s.Policy); s.ContactAddress == contact && s.Steer && err == nil && framework.IsEarly(p) {
			ports = append(ports, s.Port)
		}
	}
	return ports
}

// choose decides at the contact node who serves a new connection.
func (r *replica) choose(c relay.Conn, served netip.Addr) netip.Addr {
	if s := r.serviceAt(c.Contact); s != nil {
		if target, ok := s.Steer(c.Client, served); ok {
			return target
		}
	}
	return netip.Addr{}
}

// serviceAt is the service of a contact address and port; nil if there is none.
func (r *replica) serviceAt(contact netip.AddrPort) *framework.Service {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, s := range r.services {
		if s.Contact() == contact {
			return s
		}
	}
	return nil
}

// ask has another replica say whether a service there takes clients.
func (r *replica) ask(ctx context.Context, replica netip.Addr, req []byte) ([]byte, error) {
	return r.peers.Call(ctx, replica, peer.KindStanding, req)
}

// standing answers such a question. It fits peer.Handler.
func (r *replica) standing(ctx context.Context, from netip.Addr, req []byte) ([]byte, error) {
	name, err := framework.StandingService(req)
	if err != nil {
		return nil, err
	}
	s, ok := r.service(name)
	if !ok {
		return nil, fmt.Errorf("no service %q here", name)
	}
	return s.HandleStanding(ctx, from, req)
}

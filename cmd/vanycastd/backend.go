package main

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"sync"

	"github.com/vanycast/vanycast/api"
	"github.com/vanycast/vanycast/api/wire"
	"github.com/vanycast/vanycast/framework"
	"github.com/vanycast/vanycast/mipv6/bindings"
)

// host is the API's backend.
var _ api.Backend = (*host)(nil)

// Status implements api.Backend.
func (d *host) Status() wire.Status {
	s := wire.Status{
		Version: version(), Name: d.cfg.Node.Name, CareOf: d.careOf(), Interface: d.cfg.Node.Interface,
		Dataplane: string(d.planeKind), Started: d.started, Counters: d.counters(),
	}
	for _, r := range d.cfg.Node.Roles {
		s.Roles = append(s.Roles, string(r))
	}
	if d.replica == nil {
		return s
	}
	for _, cfg := range d.cfg.Services {
		service, ok := d.replica.service(cfg.Name)
		if !ok {
			continue
		}
		shown := wire.Service{
			Name: cfg.Name, Contact: cfg.Contact(), HomeAgent: cfg.HomeAgent, Policy: cfg.Policy,
			Clients: len(service.Clients()),
		}
		if a, ok := d.replica.address(cfg.ContactAddress); ok {
			shown.ContactNode = a.IsContactNode()
		}
		if e, ok := d.replica.elector(cfg.ContactAddress); ok {
			i := e.Info()
			shown.Holder, shown.Rank, shown.Lost = i.Node, i.Rank, i.Lost
			if i.Known {
				shown.Epoch = &i.Epoch
			}
		}
		shown.Waiting, shown.Backlog = service.Queue()
		for _, r := range service.Replicas() {
			shown.Listening = shown.Listening || r.Self && r.Listening
		}
		s.Services = append(s.Services, shown)
	}
	return s
}

// Replicas implements api.Backend.
func (d *host) Replicas() (out []wire.Replica) {
	for _, s := range d.services() {
		for _, r := range s.Replicas() {
			out = append(out, api.Replica(r))
		}
	}
	return out
}

// Clients implements api.Backend.
func (d *host) Clients() (out []wire.Client) {
	for _, s := range d.services() {
		for _, c := range s.Clients() {
			out = append(out, api.Client(c))
		}
	}
	return out
}

// Bindings implements api.Backend.
func (d *host) Bindings() (out []wire.Binding) {
	if d.replica != nil {
		for _, contact := range d.replica.contacts() {
			for _, b := range contact.Bindings() {
				state := b.State
				if !b.Home {
					state += ", " + b.Route
				}
				out = append(out, wire.Binding{
					Role: "replica", Home: b.Contact, CareOf: b.CareOf, Peer: b.Peer, Sequence: b.Sequence, Expires: b.Expires, State: state,
				})
			}
			for _, i := range contact.Relayed() {
				out = append(out, wire.Binding{
					Role: "relay", Home: i.Contact.Addr(), CareOf: i.Owner, Peer: i.Client.Addr(), Port: i.Client.Port(),
					Sequence: i.Sequence, Expires: i.Expires, State: i.Route,
				})
			}
		}
	}
	if d.homeAgent != nil {
		out = append(out, cached("home-agent", d.homeAgent.Bindings())...)
	}
	if d.correspondent != nil {
		out = append(out, cached("correspondent", d.correspondent.Bindings())...)
	}
	slices.SortStableFunc(out, func(a, b wire.Binding) int {
		return cmp.Or(cmp.Compare(a.Role, b.Role), a.Home.Compare(b.Home), a.Peer.Compare(b.Peer))
	})
	return out
}

func cached(role string, list []bindings.Binding) (out []wire.Binding) {
	for _, b := range list {
		out = append(out, wire.Binding{
			Role: role, Home: b.Home, CareOf: b.CareOf, Peer: b.Local, Sequence: b.Sequence, Expires: b.Expires, State: "bound",
		})
	}
	return out
}

// Handoffs implements api.Backend.
func (d *host) Handoffs() (out []wire.Handoff) {
	if d.replica != nil {
		for _, r := range d.replica.agent.Recent() {
			out = append(out, api.Handoff(r))
		}
	}
	return out
}

// HandoffClient implements api.Backend.
func (d *host) HandoffClient(ctx context.Context, client, to netip.Addr) []wire.ClientHandoff {
	services := d.services()
	moved := make([][]framework.Moved, len(services))
	var wg sync.WaitGroup
	for i, s := range services {
		wg.Go(func() { moved[i] = s.HandoffClient(ctx, client, to) })
	}
	wg.Wait()
	var out []wire.ClientHandoff
	for _, m := range slices.Concat(moved...) {
		out = append(out, api.ClientHandoff(m))
	}
	return out
}

// Service implements api.Backend.
func (d *host) Service(name string) (*framework.Service, bool) {
	if d.replica == nil {
		return nil, false
	}
	return d.replica.service(name)
}

func (d *host) services() []*framework.Service {
	if d.replica == nil {
		return nil
	}
	return d.replica.list()
}

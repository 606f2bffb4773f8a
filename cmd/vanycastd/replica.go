package main

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vanycast/vanycast/anycast"
	"github.com/vanycast/vanycast/api"
	"github.com/vanycast/vanycast/conf"
	"github.com/vanycast/vanycast/framework"
	"github.com/vanycast/vanycast/framework/election"
	"github.com/vanycast/vanycast/handoff"
	"github.com/vanycast/vanycast/peer"
	"github.com/vanycast/vanycast/peer/pki"
	"github.com/vanycast/vanycast/relay"
)

// maxBuried bounds the frozen connections that are kept to swallow late
// segments: a minute of a thousand handoffs a second.
const maxBuried = 60_000

// replica is the replica role: everything from the contact addresses up to the
// services.
type replica struct {
	d         *host
	peers     *peer.Node
	anycast   *anycast.Node
	live      map[netip.Addr]*framework.Live // by contact address
	agent     *handoff.Agent
	publisher atomic.Pointer[api.Server]

	mu        sync.RWMutex // peers ask while services are being made
	addresses map[netip.Addr]*anycast.Address
	electors  map[netip.Addr]*election.Elector // by contact address
	services  map[string]*framework.Service
}

// openReplica makes the role's parts in the order of their dependence, and has
// them closed in the reverse order.
func (d *host) openReplica(closing func(func() error), start func(string, func(context.Context) error) func()) (err error) {
	r := &replica{
		d: d, addresses: make(map[netip.Addr]*anycast.Address), live: make(map[netip.Addr]*framework.Live),
		electors: make(map[netip.Addr]*election.Elector), services: make(map[string]*framework.Service),
	}
	windows := d.openWindows(closing)
	kernel, err := handoff.NewKernel(maxBuried, windows.set)
	if err != nil {
		return err
	}
	if r.peers, err = d.openPeers(windows); err != nil {
		return err
	}
	closing(r.peers.Close)

	r.anycast, err = anycast.New(anycast.Config{
		CareOf:      d.careOf(),
		InUse:       r.inUse,
		Connected:   r.connected,
		Shared:      r.shared,
		Connections: r.connections,
		Pending:     r.pending,
		Choose:      r.choose,
		Logger:      d.log,
	}, anycast.Deps{Plane: d.plane, MH: d.mh, Relay: anycast.RelayOver(r.peers), Peers: r.peers})
	if err != nil {
		return err
	}
	stop := start("anycast", r.anycast.Run)
	closing(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		err := r.anycast.Close(ctx)
		stop()
		return d.tolerate(err)
	})
	r.peers.Handle(peer.KindHomeTest, r.anycast.HandleHomeTest)
	r.peers.Handle(peer.KindRefresh, r.anycast.HandleRefresh)
	r.peers.Handle(peer.KindKeys, d.handleKeys)
	r.peers.Handle(peer.KindRelay, r.anycast.HandleRelay)
	r.peers.Handle(peer.KindAnchor, r.anycast.HandleAnchor)
	r.peers.Handle(peer.KindFlows, r.anycast.HandleFlows)
	r.peers.Handle(peer.KindBinding, r.anycast.HandleBinding)
	r.peers.Handle(peer.KindBound, r.anycast.HandleBound)
	r.peers.Handle(peer.KindContact, election.Handler(r.elector))

	r.peers.Handle(peer.KindStanding, r.standing)
	r.agent = handoff.New(handoff.Deps{
		Self:    d.careOf(),
		Peers:   r.peers,
		Anycast: r.binder,
		TCP:     kernel,
		Modes:   r.mode,
		Serves: func(contact, client netip.AddrPort) bool {
			return r.connected(relay.Conn{Contact: contact, Client: client})
		},
		Admit:   r.admit,
		Deliver: r.deliver,
		Logger:  d.log,
		Timing:  handoff.Timing{Handoff: d.cfg.Services[0].HandoffTimeout}, // the same for all,
	})
	closing(func() error { r.agent.Close(); return nil })
	d.replica = r
	for i := range d.cfg.Services {
		if err := r.openService(&d.cfg.Services[i], closing, start); err != nil {
			return fmt.Errorf("service %q: %w", d.cfg.Services[i].Name, err)
		}
	}
	return nil
}

// openPeers opens the replicas' secure channel.
func (d *host) openPeers(w *windows) (*peer.Node, error) {
	p := d.cfg.Peers
	certificate, authority, err := pki.Load(p.Certificate, p.Key, p.Authority, d.careOf(), time.Now())
	if err != nil {
		return nil, err
	}
	known := make(map[netip.Addr]bool)
	for _, s := range d.cfg.Services {
		for _, a := range s.Replicas {
			known[a] = true
		}
	}
	return peer.Listen(peer.Config{
		Listen:         p.Listen,
		Certificate:    certificate,
		Authority:      authority,
		Allowed:        func(a netip.Addr) bool { return known[a] },
		ConnectTimeout: d.cfg.Services[0].ConnectTimeout, // the same for all
		Control:        w.peers,
		Logger:         d.log,
	})
}

func (r *replica) openService(s *conf.Service, closing func(func() error), start func(string, func(context.Context) error) func()) error {
	address, ok := r.address(s.ContactAddress)
	if !ok {
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		var err error
		address, err = r.anycast.Passive(ctx, anycast.Contact{
			Address: s.ContactAddress, HomeAgent: s.HomeAgent, ContactNodes: s.ContactNodes, Replicas: s.Replicas,
			Steer:        r.steered(s.ContactAddress),
			Direct:       s.ReturnPath == conf.ReturnDirect,
			FlowBindings: s.FlowBindings,
			HomeLifetime: s.HomeLifetime, BindingLifetime: s.BindingLifetime,
		})
		if err != nil {
			return err
		}
		r.mu.Lock()
		r.addresses[s.ContactAddress] = address
		r.live[s.ContactAddress] = framework.NewLive()
		r.electors[s.ContactAddress] = r.newElector(s, address)
		r.mu.Unlock()
	}
	service, err := framework.New(framework.Config{
		Service:       s.Name,
		Contact:       s.Contact(),
		Backlog:       s.Backlog,
		Policy:        s.Policy,
		NeverSelf:     s.NeverSelf,
		ContactOnly:   s.ContactOnly,
		Steer:         s.Steer && r.d.steers(),
		ClearOnClose:  s.ClearBindingOnClose,
		Replicas:      s.Replicas,
		Self:          r.d.careOf(),
		AcceptTimeout: s.AcceptTimeout,
		ExcludeFor:    s.ExcludeTime,
	}, framework.Deps{
		Agent:    r.agent,
		Address:  handoff.AnycastBinder{Address: address},
		Relay:    address,
		Fallback: address,
		Live:     r.liveOf(s.ContactAddress),
		SameHost: framework.OnThisHost,
		Steered:  address.Steered,
		Ask:      r.ask,
		Failed:   address.ReplicaFailed,
		Observe:  r.observe,
		Logger:   r.d.log,
	})
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.services[s.Name] = service
	r.mu.Unlock()
	stop := start("service "+s.Name, service.Run)
	closing(func() error { stop(); return nil })
	return nil
}

// publish has the services' events told to those who follow them.
func (r *replica) publish(s *api.Server) { r.publisher.Store(s) }

func (r *replica) observe(e framework.Event) {
	if s := r.publisher.Load(); s != nil {
		s.Publish(api.Event(e))
	}
}

// closeServices ends the clients of all services, in order.
func (r *replica) closeServices() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	var wg sync.WaitGroup
	for _, s := range r.list() {
		wg.Go(func() {
			if err := s.Close(ctx); err != nil {
				r.d.log.Warn("clients were closed before they had read everything", "service", s.Name(), "err", err)
			}
		})
	}
	wg.Wait()
	return nil
}

func (r *replica) service(name string) (*framework.Service, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	s, ok := r.services[name]
	return s, ok
}

// list is the services by name.
func (r *replica) list() []*framework.Service {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var out []*framework.Service
	for _, name := range slices.Sorted(maps.Keys(r.services)) {
		out = append(out, r.services[name])
	}
	return out
}

func (r *replica) address(contact netip.Addr) (*anycast.Address, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	a, ok := r.addresses[contact]
	return a, ok
}

// contacts are the contact addresses, in no order.
func (r *replica) contacts() []*anycast.Address {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Collect(maps.Values(r.addresses))
}

func (r *replica) binder(contact, client netip.AddrPort) (handoff.Binder, bool) {
	a, ok := r.address(contact.Addr())
	if !ok {
		return nil, false
	}
	return handoff.ConnectionBinder{Connection: a.Connection(contact, client)}, true
}

// inUse is asked by the anycast side under its lock, so it must not wait for it.
func (r *replica) inUse(contact, client netip.Addr) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, s := range r.services {
		if s.Contact().Addr() == contact && s.InUse(client) {
			return true
		}
	}
	return false
}

// connected and connections tell the anycast side which connections live. As
// inUse, they must not wait for it.
func (r *replica) connected(c relay.Conn) bool {
	live := r.liveOf(c.Contact.Addr())
	return live != nil && live.Connected(c.Contact, c.Client)
}

// shared tells the anycast side whether a connection is not its client's only one.
func (r *replica) shared(c relay.Conn) bool {
	live := r.liveOf(c.Contact.Addr())
	return live != nil && live.Others(c.Contact, c.Client)
}

func (r *replica) liveOf(contact netip.Addr) *framework.Live {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.live[contact]
}

func (r *replica) connections(contact netip.Addr) (all []relay.Conn) {
	if live := r.liveOf(contact); live != nil {
		for local, remote := range live.Connections() {
			all = append(all, relay.Conn{Contact: local, Client: remote})
		}
	}
	return all
}

// mode is how a service's clients are handed off.
func (r *replica) mode(service string) handoff.Mode {
	for i := range r.d.cfg.Services {
		if s := &r.d.cfg.Services[i]; s.Name == service {
			if m, ok := handoff.ParseMode(s.Mode); ok {
				return m
			}
		}
	}
	return handoff.ModeBest
}

func (r *replica) admit(o handoff.Offer) error {
	s, ok := r.service(o.Service)
	if !ok || s.Contact() != o.Contact {
		return &handoff.RefusedError{Reason: handoff.ReasonNoService}
	}
	return s.Admit(o)
}

func (r *replica) deliver(c *handoff.Client) {
	s, ok := r.service(c.Service)
	if !ok { // cannot be: it was admitted
		r.d.log.Error("client of an unknown service closed", "service", c.Service, "client", c.Remote)
		unix.Close(c.FD)
		return
	}
	s.Deliver(c)
}

package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vanycast/vanycast/anycast"
	"github.com/vanycast/vanycast/api"
	"github.com/vanycast/vanycast/conf"
	"github.com/vanycast/vanycast/framework"
	"github.com/vanycast/vanycast/handoff"
	"github.com/vanycast/vanycast/peer"
	"github.com/vanycast/vanycast/peer/pki"
	"github.com/vanycast/vanycast/relay"
)

// maxBuried bounds the frozen connections that are kept to swallow late
// segments: a minute of a thousand handoffs a second.
const maxBuried = 60_000

// Pauses between attempts to register at a home agent that does not answer.
const (
	firstRetry = time.Second
	lastRetry  = 30 * time.Second
)

// replica is the replica role: everything from the contact addresses up to the
// services.
type replica struct {
	d         *host
	peers     *peer.Node
	anycast   *anycast.Node
	addresses map[netip.Addr]*anycast.Address
	agent     *handoff.Agent
	publisher atomic.Pointer[api.Server]

	mu       sync.RWMutex // peers ask while services are being made
	services map[string]*framework.Service
}

// openReplica makes the role's parts in the order of their dependence, and has
// them closed in the reverse order.
func (d *host) openReplica(closing func(func() error), start func(string, func(context.Context) error) func()) (err error) {
	r := &replica{d: d, addresses: make(map[netip.Addr]*anycast.Address), services: make(map[string]*framework.Service)}
	kernel, err := handoff.NewKernel(maxBuried)
	if err != nil {
		return err
	}
	if r.peers, err = d.openPeers(); err != nil {
		return err
	}
	closing(r.peers.Close)

	first := d.cfg.Services[0]
	r.anycast, err = anycast.New(anycast.Config{
		CareOf:          d.careOf(),
		HomeLifetime:    first.HomeLifetime,
		BindingLifetime: first.BindingLifetime,
		InUse:           r.inUse,
		Connected:       r.connected,
		Connections:     r.connections,
		Logger:          d.log,
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
		if errors.Is(err, context.DeadlineExceeded) {
			// Nobody answered. What they hold for us expires.
			d.log.Warn("bindings not taken back", "err", err)
			return nil
		}
		return err
	})
	r.peers.Handle(peer.KindHomeTest, r.anycast.HandleHomeTest)
	r.peers.Handle(peer.KindRefresh, r.anycast.HandleRefresh)
	r.peers.Handle(peer.KindRelay, r.anycast.HandleRelay)
	r.peers.Handle(peer.KindAnchor, r.anycast.HandleAnchor)

	r.agent = handoff.New(handoff.Deps{
		Self:    d.careOf(),
		Peers:   r.peers,
		Anycast: r.binder,
		TCP:     kernel,
		Admit:   r.admit,
		Deliver: r.deliver,
		Logger:  d.log,
		Timing:  handoff.Timing{Handoff: longest(d.cfg.Services, func(s *conf.Service) time.Duration { return s.HandoffTimeout })},
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
func (d *host) openPeers() (*peer.Node, error) {
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
		ConnectTimeout: longest(d.cfg.Services, func(s *conf.Service) time.Duration { return s.ConnectTimeout }),
		Logger:         d.log,
	})
}

func (r *replica) openService(s *conf.Service, closing func(func() error), start func(string, func(context.Context) error) func()) error {
	address, ok := r.addresses[s.ContactAddress]
	if !ok {
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		var err error
		address, err = r.anycast.Passive(ctx, anycast.Contact{
			Address: s.ContactAddress, HomeAgent: s.HomeAgent, ContactNodes: s.ContactNodes, Replicas: s.Replicas,
			Direct: s.ReturnPath == conf.ReturnDirect,
		})
		if err != nil {
			return err
		}
		r.addresses[s.ContactAddress] = address
	}
	service, err := framework.New(framework.Config{
		Service:       s.Name,
		Contact:       s.Contact(),
		Backlog:       s.Backlog,
		Policy:        s.Policy,
		NeverSelf:     s.NeverSelf,
		ContactOnly:   s.ContactOnly,
		ClearOnClose:  s.ClearBindingOnClose,
		Replicas:      s.Replicas,
		Self:          r.d.careOf(),
		AcceptTimeout: s.AcceptTimeout,
		ExcludeFor:    s.ExcludeTime,
	}, framework.Deps{
		Agent:   r.agent,
		Address: handoff.AnycastBinder{Address: address},
		Relay:   address,
		Observe: r.observe,
		Logger:  r.d.log,
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

// register makes this host the contact node where the configuration prefers it,
// and keeps trying where the home agent does not answer.
func (r *replica) register(ctx context.Context) {
	var wg sync.WaitGroup
	done := make(map[netip.Addr]bool)
	for _, s := range r.d.cfg.Services {
		if s.ContactNodes[0] != r.d.careOf() || done[s.ContactAddress] {
			continue
		}
		done[s.ContactAddress] = true
		address := r.addresses[s.ContactAddress]
		wg.Go(func() {
			for pause := firstRetry; ; pause = min(2*pause, lastRetry) {
				err := address.Active(ctx)
				if err == nil {
					r.d.log.Info("contact node", "contact", s.ContactAddress, "home_agent", s.HomeAgent)
					return
				}
				if ctx.Err() != nil {
					return
				}
				r.d.log.Error("not registered at the home agent", "contact", s.ContactAddress, "err", err, "retry_in", pause)
				select {
				case <-ctx.Done():
					return
				case <-time.After(pause):
				}
			}
		})
	}
	wg.Wait()
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

func (r *replica) binder(contact, client netip.AddrPort) (handoff.Binder, bool) {
	a, ok := r.addresses[contact.Addr()]
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

// connected and connections tell the anycast side which connections live.
func (r *replica) connected(c relay.Conn) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, s := range r.services {
		if s.Contact() == c.Contact && s.Connected(c.Client) {
			return true
		}
	}
	return false
}

func (r *replica) connections(contact netip.Addr) (all []relay.Conn) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, s := range r.services {
		if s.Contact().Addr() != contact {
			continue
		}
		for _, client := range s.Connections() {
			all = append(all, relay.Conn{Contact: s.Contact(), Client: client})
		}
	}
	return all
}

func (r *replica) admit(ctx context.Context, o handoff.Offer) error {
	s, ok := r.service(o.Service)
	if !ok || s.Contact() != o.Contact {
		return &handoff.RefusedError{Reason: handoff.ReasonNoService}
	}
	return s.Admit(ctx, o)
}

func (r *replica) deliver(c *handoff.Client) {
	if s, ok := r.service(c.Service); ok {
		s.Deliver(c)
	}
}

// longest is the largest of the services' values: the channel and the handoffs
// are common to all.
func longest(services []conf.Service, value func(*conf.Service) time.Duration) (d time.Duration) {
	for i := range services {
		d = max(d, value(&services[i]))
	}
	return d
}

package homeagent

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/bindings"
	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/mipv6/homelink"
	"github.com/vanycast/vanycast/mipv6/mhsock"
)

// Plane is what the role needs of a dataplane.Plane.
type Plane interface {
	SetTunnel(dataplane.Tunnel) error
	RemoveTunnel(home netip.Addr) error
	// The home agent's own traffic with a mobile node is route optimised: its
	// registrations are in the binding cache like any other (RFC 6275 §9.3).
	SetBinding(dataplane.Binding) error
	RemoveBinding(local, home netip.Addr) error
	Events() <-chan dataplane.Event
}

// Sender is what the role needs of a mhsock.Conn. Neighbour discovery leaves
// by it, too.
type Sender interface {
	Send(*mipv6.Packet) error
}

// HomeLink is what the role needs of the home link; *homelink.Link is one.
type HomeLink interface {
	Index() int
	HardwareAddr() net.HardwareAddr
	AddProxy(netip.Addr) error
	RemoveProxy(netip.Addr) error
	Watch(netip.Addr) error
	Unwatch(netip.Addr) error
	Receive(context.Context) (homelink.Neighbour, error)
	Deliver(packet []byte, to net.HardwareAddr) error
	LinkLocal() netip.Addr
	JoinAnycast(netip.Addr) error
	ReceiveICMP(context.Context) (homelink.ICMP, error)
	Close() error
}

// Deps are what the role works with.
type Deps struct {
	Plane  Plane
	MH     Sender
	Link   HomeLink     // closed with the role; default homelink.Open of the configured interface
	Logger *slog.Logger // default: nothing is logged
	Rand   io.Reader    // default crypto/rand.Reader
}

// Role is the home agent role. Its methods are safe for concurrent use.
type Role struct {
	deps Deps
	log  *slog.Logger
	wake chan struct{} // the next deadline may have changed

	mu    sync.Mutex // serialises the core, and its actions in their order
	core  *core
	flows dataplane.FlowTunneler // nil without Config.Replicas
	ended bool
}

// New makes the role and takes hold of the home link: what a dead process left
// there is removed.
func New(cfg Config, deps Deps) (*Role, error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("homeagent: %w", err)
	}
	if deps.Logger == nil {
		deps.Logger = slog.New(slog.DiscardHandler)
	}
	if deps.Rand == nil {
		deps.Rand = rand.Reader
	}
	if deps.Link == nil {
		link, err := homelink.Open(cfg.Interface, deps.Logger)
		if err != nil {
			return nil, fmt.Errorf("homeagent: %w", err)
		}
		deps.Link = link
	}
	flows, able := dataplane.FlowTunnelerOf(deps.Plane)
	if len(cfg.Replicas) > 0 && !able {
		deps.Logger.Warn("no flow bindings: the data plane cannot do them")
		cfg.Replicas = nil
	}
	r := &Role{
		flows: flows,
		deps:  deps, log: deps.Logger, wake: make(chan struct{}, 1),
		core: newCore(cfg, link{strconv.Itoa(deps.Link.Index()), deps.Link.HardwareAddr(), deps.Link.LinkLocal()}, deps.Rand),
	}
	if a := r.core.anycast; a.IsValid() {
		if err := deps.Link.JoinAnycast(a); err != nil {
			return nil, errors.Join(fmt.Errorf("homeagent: %w", err), deps.Link.Close())
		}
	}
	if cfg.Advertise && !deps.Link.LinkLocal().IsValid() {
		deps.Logger.Warn("home agent does not advertise itself: no link-local address", "interface", cfg.Interface)
	}
	r.core.startAdverts(time.Now())
	return r, nil
}

// HandleMH takes a received Mobility Header; false if it is not one for a home
// agent. What cannot be parsed is this role's: it answers as RFC 6275 §9.2
// wants.
func (r *Role) HandleMH(m mhsock.Received) bool {
	return r.do(func(now time.Time) ([]action, bool) { return r.core.message(now, m) })
}

// Bindings are the registrations, sorted.
func (r *Role) Bindings() []bindings.Binding {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.core.cache.Bindings()
}

// Flows are the flows of a home address that have a flow binding, and where they go.
func (r *Role) Flows(home netip.Addr) map[bindings.Flow]netip.Addr {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.core.further == nil {
		return nil
	}
	return r.core.further.Flows(home)
}

// Counters are totals since New, by the names in counters.go.
func (r *Role) Counters() map[string]uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.core.counters)
}

// Run listens to the home link and lets time pass, until ctx ends or the home
// link fails; then it closes the role and returns what went wrong.
func (r *Role) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	listened := make(chan error, 2)
	go func() { listened <- r.listen(ctx) }()
	go func() { listened <- r.answer(ctx) }()
	events := r.deps.Plane.Events()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			<-listened
			<-listened
			return r.Close()
		case err := <-listened:
			ended := ctx.Err() != nil
			stop()
			<-listened
			switch {
			case errors.Is(err, net.ErrClosed): // Close was called
				return nil
			case ended:
				return r.Close()
			}
			return errors.Join(err, r.Close())
		case e, ok := <-events:
			if !ok {
				events = nil
				continue
			}
			r.do(func(now time.Time) ([]action, bool) { return r.core.event(now, e), true })
		case <-timer.C:
			r.do(func(now time.Time) ([]action, bool) { return r.core.poll(now), true })
		case <-r.wake:
		}
		timer.Stop()
		r.mu.Lock()
		next, ok := r.core.next()
		r.mu.Unlock()
		if ok {
			timer.Reset(time.Until(next))
		}
	}
}

// listen takes what the neighbours say.
func (r *Role) listen(ctx context.Context) error {
	for {
		n, err := r.deps.Link.Receive(ctx)
		if err != nil {
			return fmt.Errorf("homeagent: %w", err)
		}
		r.do(func(now time.Time) ([]action, bool) { return r.core.heard(now, n), true })
	}
}

// answer takes what mobile nodes ask, and errors of tunnels.
func (r *Role) answer(ctx context.Context) error {
	for {
		m, err := r.deps.Link.ReceiveICMP(ctx)
		if err != nil {
			return fmt.Errorf("homeagent: %w", err)
		}
		r.do(func(now time.Time) ([]action, bool) { return r.core.icmp(now, m), true })
	}
}

// do runs one step of the core and then its actions.
func (r *Role) do(step func(now time.Time) ([]action, bool)) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return false
	}
	now := time.Now()
	actions, handled := step(now)
	if err := r.perform(now, actions); err != nil {
		r.log.Warn("home agent", "err", err)
	}
	select {
	case r.wake <- struct{}{}:
	default:
	}
	return handled
}

// Close ends every registration without a word to the mobile nodes, and leaves
// no trace on the host.
func (r *Role) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return nil
	}
	r.ended = true
	now := time.Now()
	if err := errors.Join(r.perform(now, r.core.withdraw(now)), r.deps.Link.Close()); err != nil {
		return fmt.Errorf("homeagent: close: %w", err)
	}
	return nil
}

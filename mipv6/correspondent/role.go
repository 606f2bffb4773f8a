package correspondent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/netip"
	"sync"
	"time"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/bindings"
	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/mipv6/mhsock"
)

// Config configures the role. The zero value is usable.
type Config struct {
	// MaxLifetime caps what a binding is granted; default, and at most,
	// mipv6.MaxRRBindingLifetime.
	MaxLifetime time.Duration
	// MaxBindings bounds the binding cache, MaxPerPrefix the bindings of one
	// home /64; defaults of package bindings.
	MaxBindings, MaxPerPrefix int
	// InUse is how recently a binding must have carried a packet to deserve a
	// Binding Refresh Request; default DefaultInUse.
	InUse time.Duration
}

// DefaultInUse is the default of Config.InUse.
const DefaultInUse = 2 * time.Minute

// Plane is what the role needs of a dataplane.Plane.
type Plane interface {
	SetBinding(dataplane.Binding) error
	RemoveBinding(local, home netip.Addr) error
	LastUsed(dataplane.Flow) (time.Time, error)
	Events() <-chan dataplane.Event
}

// Sender is what the role needs of a mhsock.Conn.
type Sender interface {
	Send(*mipv6.Packet) error
}

// Deps are what the role works with.
type Deps struct {
	Plane  Plane
	MH     Sender
	Logger *slog.Logger // default: nothing is logged
	Rand   io.Reader    // default crypto/rand.Reader
}

// Role is the correspondent role. Its methods are safe for concurrent use.
type Role struct {
	deps Deps
	log  *slog.Logger
	wake chan struct{} // the next deadline may have changed

	mu    sync.Mutex // serialises the core, and its actions in their order
	core  *core
	ended bool
}

// New makes the role. It does nothing before it is told something.
func New(cfg Config, deps Deps) (*Role, error) {
	if deps.Logger == nil {
		deps.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.MaxLifetime <= 0 || cfg.MaxLifetime > mipv6.MaxRRBindingLifetime {
		cfg.MaxLifetime = mipv6.MaxRRBindingLifetime
	}
	if cfg.InUse <= 0 {
		cfg.InUse = DefaultInUse
	}
	r := &Role{deps: deps, log: deps.Logger, wake: make(chan struct{}, 1)}
	inUse := func(k bindings.Key) bool {
		at, err := deps.Plane.LastUsed(dataplane.Flow{Home: k.Home, Client: k.Local})
		return err == nil && !at.IsZero() && time.Since(at) <= cfg.InUse
	}
	var err error
	if r.core, err = newCore(cfg, inUse, deps.Rand); err != nil {
		return nil, fmt.Errorf("correspondent: %w", err)
	}
	return r, nil
}

// HandleMH takes a received Mobility Header; false if it is not one for a
// correspondent. What cannot be parsed is this role's: it answers as RFC 6275
// §9.2 wants.
func (r *Role) HandleMH(m mhsock.Received) bool {
	return r.do(func(now time.Time) ([]action, bool) { return r.core.message(now, m) })
}

// HandleICMP takes a received ICMPv6 error; false if it is not about a
// packet that a binding of this role has routed.
func (r *Role) HandleICMP(e mhsock.ICMPError) bool {
	return r.do(func(now time.Time) ([]action, bool) { return r.core.icmp(now, e) })
}

// Bindings is the binding cache, sorted.
func (r *Role) Bindings() []bindings.Binding {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.core.cache.Bindings()
}

// Counters are totals since New, by the names in counters.go.
func (r *Role) Counters() map[string]uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.core.counters)
}

// Run expires bindings, asks for their refresh, and answers what the data
// plane notices, until ctx ends; then it removes every binding from the data
// plane and returns what went wrong with that.
func (r *Role) Run(ctx context.Context) error {
	events := r.deps.Plane.Events()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return r.end()
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
		r.log.Warn("correspondent", "err", err)
	}
	select {
	case r.wake <- struct{}{}:
	default:
	}
	return handled
}

func (r *Role) perform(now time.Time, actions []action) error {
	var errs []error
	for len(actions) > 0 {
		a := actions[0]
		actions = actions[1:]
		var err error
		switch a.kind {
		case actSend:
			err = r.deps.MH.Send(a.packet)
		case actSet:
			if err = r.deps.Plane.SetBinding(a.binding); err != nil {
				actions = r.core.bindFailed(now, a)
				break
			}
			r.log.Info("binding set", "home", a.binding.Home, "local", a.binding.Local, "care_of", a.binding.CareOf)
		case actRemove:
			err = r.deps.Plane.RemoveBinding(a.binding.Local, a.binding.Home)
			r.log.Info("binding removed", "home", a.binding.Home, "local", a.binding.Local, "care_of", a.binding.CareOf)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (r *Role) end() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return nil
	}
	r.ended = true
	now := time.Now()
	if err := r.perform(now, r.core.withdraw(now)); err != nil {
		return fmt.Errorf("correspondent: end: %w", err)
	}
	return nil
}

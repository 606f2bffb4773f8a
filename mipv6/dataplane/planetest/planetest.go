// Package planetest is a data plane in memory: it keeps what is declared, moves
// no packet, and fails when a test tells it to. It follows the same rules as the
// real ones: addresses are checked, routes need their contact, limits are kept.
package planetest

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/vanycast/vanycast/mipv6/dataplane"
)

// Plane is the fake. The zero value is not ready: use New.
type Plane struct {
	mu       sync.Mutex
	closed   bool
	fail     func(Call) error
	calls    []Call
	limit    int
	contacts map[netip.Addr]dataplane.Contact
	routes   map[dataplane.Flow]dataplane.Route
	bindings map[[2]netip.Addr]dataplane.Binding
	tunnels  map[netip.Addr]dataplane.Tunnel
	used     map[dataplane.Flow]time.Time
	heard    map[dataplane.Flow]bool
	counters map[string]uint64
	events   chan dataplane.Event
}

var (
	_ dataplane.Plane   = (*Plane)(nil)
	_ dataplane.Batcher = (*Plane)(nil)
	_ dataplane.Hearer  = (*Plane)(nil)
)

// Features says that everything may be declared; nothing is kept, since nothing
// comes.
func (p *Plane) Features() dataplane.Features {
	return dataplane.Features{Connections: true, Relay: true, Direct: true, Keep: true, Steer: true}
}

// Call is one call that wanted to change the state, as Calls and FailWith see it.
type Call struct {
	Method string // "SetRoute"
	Object any    // its argument: a Contact, Flow, Binding, Tunnel or netip.Addr
	Route  dataplane.Route
}

// New makes a plane with nothing declared and room for 256 events.
func New() *Plane {
	return &Plane{
		contacts: map[netip.Addr]dataplane.Contact{},
		routes:   map[dataplane.Flow]dataplane.Route{},
		bindings: map[[2]netip.Addr]dataplane.Binding{},
		tunnels:  map[netip.Addr]dataplane.Tunnel{},
		used:     map[dataplane.Flow]time.Time{},
		heard:    map[dataplane.Flow]bool{},
		counters: map[string]uint64{},
		events:   make(chan dataplane.Event, 256),
	}
}

// FailWith makes each further call ask f whether it shall fail; nil ends that.
func (p *Plane) FailWith(f func(Call) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fail = f
}

// Limit bounds each table: what would make one larger is dataplane.ErrFull.
// 0 is no limit.
func (p *Plane) Limit(entries int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.limit = entries
}

// Calls are all calls so far that wanted to change the state, in their order, also
// those that failed.
func (p *Plane) Calls() []Call {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.calls)
}

// Use stamps a flow, or a binding (see dataplane.Plane.LastUsed), as if packets
// had passed at that time.
func (p *Plane) Use(f dataplane.Flow, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used[f] = at
}

// Hear makes the peer that a flow is relayed to heard; nothing is, of other flows.
func (p *Plane) Hear(f dataplane.Flow) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.routes[f].Kind == dataplane.RelayTo {
		p.heard[f] = true
	}
}

// Heard implements dataplane.Hearer; see Hear.
func (p *Plane) Heard(f dataplane.Flow) (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.routes[f]; !ok || p.closed {
		return false, fmt.Errorf("planetest: heard %v: %w", f, dataplane.ErrRoute)
	}
	return p.heard[f], nil
}

// Emit delivers an event; one that finds no room, or a closed plane, is counted.
func (p *Plane) Emit(e dataplane.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		select {
		case p.events <- e:
			return
		default:
		}
	}
	p.counters[dataplane.CounterEventsLost]++
}

// Count adds to a counter.
func (p *Plane) Count(name string, n uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counters[name] += n
}

// change is the frame of every call: records it, and carries it out unless the
// plane is closed or told to fail.
func (p *Plane) change(c Call, check func() error, do func() error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls = append(p.calls, c)
	err := check()
	if err == nil && p.closed {
		err = dataplane.ErrClosed
	}
	if err == nil && p.fail != nil {
		err = p.fail(c)
	}
	if err == nil {
		err = do()
	}
	if err != nil {
		return fmt.Errorf("planetest: %s %v: %w", c.Method, c.Object, err)
	}
	return nil
}

// set puts an entry into a table of bounded size.
func set[K comparable, V any](p *Plane, table map[K]V, key K, value V) error {
	if _, known := table[key]; !known && p.limit > 0 && len(table) >= p.limit {
		return dataplane.ErrFull
	}
	table[key] = value
	return nil
}

func nothing() error { return nil }

// LastUsed implements dataplane.Plane; see Use.
func (p *Plane) LastUsed(f dataplane.Flow) (time.Time, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return time.Time{}, fmt.Errorf("planetest: %w", dataplane.ErrClosed)
	}
	return p.used[f], nil
}

// Events implements dataplane.Plane; see Emit.
func (p *Plane) Events() <-chan dataplane.Event { return p.events }

// Counters implements dataplane.Plane; see Count.
func (p *Plane) Counters() map[string]uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.counters)
}

// State implements dataplane.Plane.
func (p *Plane) State() dataplane.State {
	p.mu.Lock()
	defer p.mu.Unlock()
	return dataplane.State{
		Contacts: slices.SortedFunc(maps.Values(p.contacts), dataplane.Contact.Compare),
		Routes:   maps.Clone(p.routes),
		Bindings: slices.SortedFunc(maps.Values(p.bindings), dataplane.Binding.Compare),
		Tunnels:  slices.SortedFunc(maps.Values(p.tunnels), dataplane.Tunnel.Compare),
	}
}

// Close implements dataplane.Plane: nothing is declared afterwards, and Events is
// closed.
func (p *Plane) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil
	}
	p.closed = true
	clear(p.contacts)
	clear(p.routes)
	clear(p.bindings)
	clear(p.tunnels)
	close(p.events)
	return nil
}

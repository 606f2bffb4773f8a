package tcbpf

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vanycast/vanycast/mipv6/dataplane"
)

// State implements dataplane.Plane.
func (p *Plane) State() dataplane.State {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := dataplane.State{Routes: make(map[dataplane.Flow]dataplane.Route, len(p.flows))}
	if p.closed {
		return s
	}
	for _, c := range p.contacts {
		s.Contacts = append(s.Contacts, c.Contact)
	}
	for f, state := range p.flows {
		if state.undeclared {
			continue
		}
		s.Routes[f] = state.Route
	}
	s.Bindings = slices.Collect(maps.Values(p.bindings))
	s.Tunnels = slices.Collect(maps.Values(p.tunnels))
	s.FlowTunnels, s.CareOfs = p.declaredFlowTunnels()
	slices.SortFunc(s.Contacts, dataplane.Contact.Compare)
	slices.SortFunc(s.Bindings, dataplane.Binding.Compare)
	slices.SortFunc(s.Tunnels, dataplane.Tunnel.Compare)
	return s
}

// LastUsed implements dataplane.Plane. Stamps are made at most once a second.
// A flow that goes through the tunnel without a route of its own has none; one that
// is declared Tunnelled has.
func (p *Plane) LastUsed(f dataplane.Flow) (time.Time, error) {
	if err := p.enter(); err != nil {
		return time.Time{}, err
	}
	defer p.mu.Unlock()
	var stamp uint64
	if state, ok := p.flows[f]; ok && !state.undeclared {
		used, err := p.stamps.read(state.slot)
		if err != nil {
			return time.Time{}, fmt.Errorf("tcbpf: flow %v: reading its stamp: %w", f, err)
		}
		stamp = used
	}
	if _, ok := p.bindings[bindingID{f.Client, f.Home}]; ok {
		var v mapBinding
		if err := p.programs.Bindings.Lookup(bindingKey(f.Client, f.Home), &v); err != nil {
			return time.Time{}, fmt.Errorf("tcbpf: binding of %v for %v: reading its stamp: %w", f.Home, f.Client, err)
		}
		stamp = max(stamp, v.LastUsed)
	}
	if stamp == 0 {
		return time.Time{}, nil
	}
	return wallTime(stamp)
}

// wallTime says when a CLOCK_MONOTONIC stamp was made.
func wallTime(stamp uint64) (time.Time, error) {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return time.Time{}, fmt.Errorf("tcbpf: CLOCK_MONOTONIC: %w", err)
	}
	return time.Now().Add(-time.Duration(now.Nano() - int64(stamp))), nil
}

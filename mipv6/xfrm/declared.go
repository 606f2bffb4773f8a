package xfrm

import (
	"fmt"
	"maps"
	"slices"
	"time"

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
		s.Routes[f] = state.Route
	}
	s.Bindings = slices.Collect(maps.Values(p.bindings))
	s.Tunnels = slices.Collect(maps.Values(p.tunnels))
	slices.SortFunc(s.Contacts, dataplane.Contact.Compare)
	slices.SortFunc(s.Bindings, dataplane.Binding.Compare)
	slices.SortFunc(s.Tunnels, dataplane.Tunnel.Compare)
	return s
}

// LastUsed implements dataplane.Plane. The kernel's stamps are whole seconds: of
// the last packet that a state was applied to on its way out, and of the last one
// that a policy was looked up for. A flow that goes through the tunnel has none.
func (p *Plane) LastUsed(f dataplane.Flow) (time.Time, error) {
	if err := p.enter(); err != nil {
		return time.Time{}, err
	}
	defer p.mu.Unlock()
	var all rules
	var last time.Time
	if state, ok := p.flows[f]; ok {
		all, last = p.rulesOf(f, state.Kind, state.careOf, false), state.used
		if p.beside != nil {
			used, err := p.beside.LastUsed(f)
			if err != nil {
				return time.Time{}, err
			}
			last = later(last, used)
		}
	}
	if b, ok := p.bindings[bindingID{f.Client, f.Home}]; ok {
		r := bindingRules(b)
		all.states, all.policies = append(all.states, r.states...), append(all.policies, r.policies...)
	}
	used, err := p.lastUsed(all)
	if err != nil {
		return time.Time{}, fmt.Errorf("xfrm: flow %v: reading its stamp: %w", f, err)
	}
	return later(last, used), nil
}

// lastUsed is the latest stamp of these rules, zero for none.
func (p *Plane) lastUsed(r rules) (time.Time, error) {
	var steps []step
	for _, s := range r.states {
		steps = append(steps, getState(s.stateID))
	}
	for _, q := range r.policies {
		steps = append(steps, getPolicy(q.policyID))
	}
	answers, err := p.do(steps...)
	if err != nil {
		return time.Time{}, err
	}
	var stamp uint64
	for i, m := range answers {
		switch {
		case len(m.Data) == 0: // somebody else took it away
		case i < len(r.states):
			info, err := parseState(m)
			if err != nil {
				return time.Time{}, err
			}
			stamp = max(stamp, info.lastUsed)
		default:
			info, err := parsePolicy(m)
			if err != nil {
				return time.Time{}, err
			}
			stamp = max(stamp, info.used)
		}
	}
	if stamp == 0 {
		return time.Time{}, nil
	}
	return time.Unix(int64(stamp), 0), nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

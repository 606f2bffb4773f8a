package tcbpf

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/vanycast/vanycast/mipv6/dataplane"
)

// SetRoutes implements dataplane.Batcher. What needs no more than entries of the
// programs' map is written in one system call, and removed in one; host routes
// and the release of kept packets cost their own.
func (p *Plane) SetRoutes(changes []dataplane.Change) error {
	if err := p.enter(); err != nil {
		return err
	}
	defer p.mu.Unlock()
	var errs []error
	failed := func(c dataplane.Change, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("tcbpf: %w", &dataplane.ChangeError{Change: c, Err: err}))
		}
	}
	b := &batch{changed: map[dataplane.Flow]dataplane.Change{}}
	for _, c := range changes {
		if err := errors.Join(c.Flow.Check(), c.Route.Check()); err != nil {
			failed(c, err)
			continue
		}
		if _, again := b.changed[c.Flow]; again || !p.plain(c) {
			p.flush(b, failed)
		}
		switch {
		case !p.plain(c) && c.Remove:
			failed(c, p.removeFlow(c.Flow))
		case !p.plain(c):
			failed(c, p.setFlow(c.Flow, c.Route))
		case c.Remove:
			b.changed[c.Flow] = c
			b.removed = append(b.removed, c.Flow)
		default:
			p.batch, b.change = b, c
			err := p.setFlow(c.Flow, c.Route)
			p.batch = nil
			failed(c, err)
		}
	}
	p.flush(b, failed)
	return errors.Join(errs...)
}

// plain tells a change of one map entry.
func (p *Plane) plain(c dataplane.Change) bool {
	state, known := p.flows[c.Flow]
	if p.keeper.has(c.Flow) != (keeping{}) || c.Route.Keep || c.Route.Pause || known && (state.undeclared || state.installed != nil) {
		return false
	}
	if c.Remove {
		return known
	}
	contact, ok := p.contacts[c.Flow.Home]
	if !ok || c.Flow.IsConnection() {
		return ok
	}
	h, err := p.target(contact, c.Flow, c.Route)
	_, narrow := p.narrow[path{c.Flow.Home, c.Flow.Client}]
	return err == nil && h == contact.hop && !narrow
}

// batch collects changes of the programs' map.
type batch struct {
	change  dataplane.Change // the one being made
	changed map[dataplane.Flow]dataplane.Change
	keys    []mapFlow
	values  []mapRoute
	flows   []dataplane.Flow
	states  []*flow
	removed []dataplane.Flow
}

func (b *batch) put(f dataplane.Flow, state *flow, v mapRoute) {
	b.changed[f] = b.change
	b.keys = append(b.keys, flowKey(f))
	b.values = append(b.values, v)
	b.flows = append(b.flows, f)
	b.states = append(b.states, state)
}

// flush makes the changes. What the kernel refuses is as if it had not been
// asked for.
func (p *Plane) flush(b *batch, failed func(dataplane.Change, error)) {
	for done := 0; done < len(b.keys); {
		n, err := p.programs.Routes.BatchUpdate(b.keys[done:], b.values[done:], nil)
		for i := done; i < done+n; i++ {
			b.states[i].entry, b.states[i].mapped = b.values[i], true
		}
		done += n
		if err == nil {
			break
		}
		if done == len(b.keys) {
			break
		}
		if errors.Is(err, unix.ENOMEM) { // for the moment, perhaps: see put
			if err = put(p.programs.Routes, &b.keys[done], &b.values[done]); err == nil {
				b.states[done].entry, b.states[done].mapped = b.values[done], true
				done++
				continue
			}
		}
		if errors.Is(err, unix.E2BIG) {
			err = fmt.Errorf("%w: %d flows", dataplane.ErrFull, p.cfg.MaxRoutes)
		}
		failed(b.changed[b.flows[done]], errors.Join(err, p.revert(b.flows[done], b.states[done])))
		done++
	}
	p.flushRemoved(b, failed)
	clear(b.changed)
	b.keys, b.values, b.flows, b.states, b.removed = b.keys[:0], b.values[:0], b.flows[:0], b.states[:0], b.removed[:0]
}

// revert makes the declared state what the map says.
func (p *Plane) revert(f dataplane.Flow, state *flow) error {
	if !state.mapped {
		return p.forgetFlow(f, state)
	}
	state.Route = state.entry.route()
	return nil
}

func (p *Plane) flushRemoved(b *batch, failed func(dataplane.Change, error)) {
	b.keys = b.keys[:0]
	for _, f := range b.removed {
		b.keys = append(b.keys, flowKey(f))
	}
	if len(b.keys) == 0 {
		return
	}
	if _, err := p.programs.Routes.BatchDelete(b.keys, nil); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		for _, f := range b.removed {
			failed(b.changed[f], err)
		}
		return
	}
	for _, f := range b.removed {
		if state, ok := p.flows[f]; ok {
			failed(b.changed[f], p.forgetFlow(f, state))
		}
	}
}

package tcbpf

import (
	"errors"

	"github.com/vanycast/vanycast/mipv6/dataplane"
)

// toKeeper is enum keep of the programs, or-ed: what of a flow they give to the
// keeper.
type toKeeper uint8

const (
	keepAll toKeeper = 1 << iota
	keepReturned
	keepSent

	keepNothing toKeeper = 0
)

// whatIsKept is what the programs keep of a route.
func whatIsKept(r dataplane.Route) toKeeper {
	switch {
	case r.Pause:
		return keepSent
	case r.Keep && r.Kind == dataplane.RelayTo:
		return keepReturned
	case r.Keep:
		return keepAll
	}
	return keepNothing
}

// keepEnd is what becomes of what was kept.
type keepEnd uint8

const (
	keepGoesOn keepEnd = iota // or there is nothing
	keepSettles
	keepReleases
	keepDiscards
)

// keepEnds are those of both directions of a flow.
type keepEnds struct{ coming, sent keepEnd }

// endsOfKeeping is what a flow's new route says of what is kept of it; before is the
// old one.
func endsOfKeeping(before, r dataplane.Route, had keeping) (e keepEnds) {
	switch {
	case !had.coming || r.Keep:
	case r.Kind == dataplane.Held:
		e.coming = keepDiscards
	case had.undecided:
		e.coming = keepSettles
	default:
		e.coming = keepReleases
	}
	switch {
	case !had.sent:
	case r.Kind == dataplane.Held, (r.Kind == dataplane.RelayTo) != (before.Kind == dataplane.RelayTo):
		e.sent = keepDiscards // whoever sent it serves the flow no more
	case !r.Pause:
		e.sent = keepReleases
	}
	return e
}

// drained is what must be kept behind what goes first.
func (e keepEnds) drained() (d toKeeper) {
	if e.coming == keepReleases {
		d |= keepAll
	}
	if e.sent == keepReleases {
		d |= keepSent
	}
	return d
}

// endKeeping carries it out; the programs know the route.
func (p *Plane) endKeeping(f dataplane.Flow, state *flow, e keepEnds) error {
	one := func(s stream, end keepEnd, what toKeeper) error {
		switch end {
		case keepSettles:
			return p.keeper.settle(f)
		case keepDiscards:
			return p.keeper.discard(s)
		case keepReleases:
			return p.keeper.release(s, func() error { return p.bypassKeeper(f, state, what) })
		}
		return nil
	}
	return errors.Join(one(coming(f), e.coming, keepAll), one(sent(f), e.sent, keepSent))
}

// bypassKeeper lets what was drained go the flow's way without detour.
func (p *Plane) bypassKeeper(f dataplane.Flow, state *flow, what toKeeper) error {
	key, v := flowKey(f), state.entry
	v.Keep &^= what
	if err := put(p.programs.Routes, &key, &v); err != nil {
		return err
	}
	state.entry, state.toKeeper = v, v.Keep
	return nil
}

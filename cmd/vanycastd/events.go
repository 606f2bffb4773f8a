package main

import (
	"context"

	"github.com/vanycast/vanycast/mipv6/dataplane"
)

// maxEvents bounds what waits for a role; more is dropped, as the data plane does.
const maxEvents = 256

// rolePlane is the data plane as one of several roles of a host sees it: with the
// events that are for it.
type rolePlane struct {
	dataplane.Plane
	dataplane.FlowTunneler // nil where Features says so
	events                 chan dataplane.Event
}

func newRolePlane(p dataplane.Plane) *rolePlane {
	flows, _ := dataplane.FlowTunnelerOf(p)
	return &rolePlane{p, flows, make(chan dataplane.Event, maxEvents)}
}

// Events implements dataplane.Plane.
func (p *rolePlane) Events() <-chan dataplane.Event { return p.events }

// Features are those of the plane itself.
func (p *rolePlane) Features() dataplane.Features { return dataplane.FeaturesOf(p.Plane) }

// offer gives the role an event, if it has room.
func (p *rolePlane) offer(e dataplane.Event) {
	select {
	case p.events <- e:
	default:
	}
}

// planeEvents gives each role its events. New connections are the replica's: they
// are many, and wait. The others are for whoever knows of the packet.
func (d *host) planeEvents(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case e, ok := <-d.plane.Events():
			if !ok {
				return nil
			}
			switch {
			case e.Kind == dataplane.NewConnection:
				if d.replica != nil {
					d.replica.anycast.HandleEvent(e)
				}
			default:
				for _, p := range d.rolePlanes {
					p.offer(e)
				}
			}
		}
	}
}

// planeFor is the data plane for a role that listens to its events.
func (d *host) planeFor() dataplane.Plane {
	p := newRolePlane(d.plane)
	d.rolePlanes = append(d.rolePlanes, p)
	return p
}

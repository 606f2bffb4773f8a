package homeagent

import (
	"errors"
	"time"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/mipv6/mhsock"
)

// perform does what the core wants, in order.
func (r *Role) perform(now time.Time, actions []action) error {
	var errs []error
	for len(actions) > 0 {
		a := actions[0]
		actions = actions[1:]
		err := r.act(a)
		if err != nil && a.answer != nil {
			actions = r.core.failed(now, a)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (r *Role) act(a action) error {
	switch a.kind {
	case actSend:
		return r.deps.MH.Send(a.packet)
	case actDeliver:
		b, err := withHopLimit(a.packet).MarshalBinary()
		if err != nil {
			return err
		}
		return r.deps.Link.Deliver(b, a.linkLayer)
	case actWatch:
		return r.deps.Link.Watch(a.addr)
	case actUnwatch:
		return r.deps.Link.Unwatch(a.addr)
	case actAddProxy:
		return r.deps.Link.AddProxy(a.addr)
	case actRemoveProxy:
		return r.deps.Link.RemoveProxy(a.addr)
	case actSetTunnel:
		r.log.Info("registration", "home", a.tunnel.Home, "care_of", a.tunnel.CareOf)
		if err := r.deps.Plane.SetTunnel(a.tunnel); err != nil {
			return err
		}
		return r.deps.Plane.SetBinding(dataplane.Binding{Local: a.tunnel.HomeAgent, Home: a.tunnel.Home, CareOf: a.tunnel.CareOf})
	case actRemoveTunnel:
		r.log.Info("registration ended", "home", a.tunnel.Home)
		return errors.Join(r.deps.Plane.RemoveBinding(a.tunnel.HomeAgent, a.tunnel.Home), r.deps.Plane.RemoveTunnel(a.tunnel.Home))
	case actAddCareOf:
		r.log.Info("further care-of address", "home", a.flow.Flow.Home, "care_of", a.flow.CareOf)
		return r.flows.SetCareOf(dataplane.CareOf{Home: a.flow.Flow.Home, CareOf: a.flow.CareOf})
	case actRemoveCareOf:
		r.log.Info("further care-of address ended", "home", a.flow.Flow.Home, "care_of", a.flow.CareOf)
		return r.flows.RemoveCareOf(dataplane.CareOf{Home: a.flow.Flow.Home, CareOf: a.flow.CareOf})
	case actSetFlow:
		r.log.Debug("flow binding", "flow", a.flow.Flow, "care_of", a.flow.CareOf)
		return r.flows.SetFlowTunnel(a.flow)
	case actRemoveFlow:
		r.log.Debug("flow binding ended", "flow", a.flow.Flow)
		return r.flows.RemoveFlowTunnel(a.flow.Flow)
	}
	return nil
}

// withHopLimit is the packet with the hop limit that a socket would give it.
func withHopLimit(p *mipv6.Packet) *mipv6.Packet {
	q := *p
	if q.HopLimit == 0 {
		q.HopLimit = mhsock.DefaultHopLimit
	}
	return &q
}

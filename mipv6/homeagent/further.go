package homeagent

import (
	"net/netip"
	"slices"
	"time"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/bindings"
	"github.com/vanycast/vanycast/mipv6/dataplane"
)

// Further care-of addresses (RFC 5648) and flow bindings (RFC 6089). The home
// registration stays what it was: one care-of address, which gets what no flow
// binding claims, and which moves to whoever registers with a greater sequence
// number. A Binding Update whose Binding Identifier has the least priority of all
// (mipv6.LeastBindingPriority) leaves it alone and registers a further care-of
// address, with a sequence of its own.

// identified sees to the Binding Identifiers of a home registration. False: it is
// one as ever, and goes on as such.
func (c *core) identified(now time.Time, a *answer) (actions []action, done bool) {
	ids := mipv6.FindOptions[*mipv6.BindingIdentifier](a.update)
	if c.further == nil || len(ids) == 0 {
		return nil, false // as for a home agent that has never heard of it (RFC 5648 §6.2)
	}
	a.id = ids[0]
	switch {
	case len(ids) > 1:
		return c.refuse(now, a, mipv6.StatusMultipleBulkProhibited), true
	case a.id.ID == 0 || a.id.CareOf.Is4():
		return c.refuse(now, a, mipv6.StatusMultipleMalformed), true
	case a.id.Home:
		return c.refuse(now, a, mipv6.StatusMultipleHomeAndAwayProhibited), true
	case a.id.CareOf.IsValid() && a.id.CareOf != a.received.Source():
		return c.refuse(now, a, mipv6.StatusMultipleUnknownCareOf), true // who may register it is known of the source only
	case a.id.Priority < mipv6.LeastBindingPriority:
		return nil, false
	}
	return c.updateFurther(now, a), true
}

// updateFurther takes the registration of a further care-of address, or its end.
func (c *core) updateFurther(now time.Time, a *answer) []action {
	request, unread := a.furtherRequest()
	_, registered := c.cache.Lookup(now, a.request().Key)
	switch {
	case !registered:
		return c.refuse(now, a, mipv6.StatusNotHomeAgent)
	case !c.identifiers[a.home()]:
		return c.refuse(now, a, mipv6.StatusMultipleOtherExists)
	case !slices.Contains(c.cfg.Replicas, a.received.Source()):
		return c.refuse(now, a, mipv6.StatusAdministrativelyProhibited)
	case a.careOf() != a.received.Source():
		return c.refuse(now, a, mipv6.StatusMultipleUnknownCareOf)
	}
	res := c.further.Update(now, request)
	a.flows = append(unread, res.Flows...)
	a.flows = a.flows[:min(len(a.flows), maxFlowResults)]
	actions := c.changed(request.FurtherKey, res.Changes, a)
	if !res.Status.Accepted() {
		c.count(CounterRefused)
	} else {
		c.count(CounterAccepted)
	}
	for _, f := range a.flows {
		if f.Status.Accepted() {
			c.count(CounterFlows)
		} else {
			c.count(CounterFlowsRefused)
		}
	}
	p := a.packet(bindings.Result{Status: res.Status, Sequence: res.Sequence, Lifetime: res.Lifetime})
	if !res.Status.Accepted() {
		return append(actions, c.limited(now, p)...)
	}
	if p != nil {
		actions = append(actions, action{kind: actSend, packet: p})
	}
	return actions
}

// furtherRequest is what the cache is asked, and the flow bindings that it is not.
// One that cannot be read stays as it was.
func (a *answer) furtherRequest() (r bindings.FurtherRequest, refused []bindings.FlowResult) {
	r = bindings.FurtherRequest{
		FurtherKey: bindings.FurtherKey{Home: a.home(), ID: a.id.ID},
		CareOf:     a.careOf(), Sequence: a.update.Sequence, Lifetime: a.update.Lifetime,
	}
	for _, s := range mipv6.FindOptions[*mipv6.FlowSummary](a.update) {
		r.Keep = append(r.Keep, s.IDs...)
	}
	for _, o := range mipv6.FindOptions[*mipv6.FlowIdentification](a.update) {
		flow, status := flowOf(o, a.home(), a.id.ID)
		if !status.Accepted() {
			refused = append(refused, bindings.FlowResult{ID: o.ID, Priority: o.Priority, Status: status})
			continue
		}
		r.Flows = append(r.Flows, bindings.FlowBinding{ID: o.ID, Priority: o.Priority, Flow: flow})
	}
	return r, refused
}

// flowOf reads a flow binding. Its traffic selector must name one client or one
// connection: that is what the data plane tells apart.
func flowOf(o *mipv6.FlowIdentification, home netip.Addr, id uint16) (f bindings.Flow, _ mipv6.FlowStatus) {
	s := o.Selector
	switch {
	case o.Malformed != nil:
		return f, mipv6.FlowMalformed
	case s == nil && slices.ContainsFunc(o.Others, func(s mipv6.FlowSubOption) bool { return s.Type == mipv6.FlowTrafficSelector }):
		return f, mipv6.FlowSelectorNotSupported
	case s == nil:
		return f, mipv6.FlowMalformed
	case len(o.Bindings) != 1 || o.Bindings[0] != id:
		return f, mipv6.FlowUnknownBinding
	}
	only := *s
	only.Source, only.SourcePort, only.DestinationPort = mipv6.Range[netip.Addr]{}, mipv6.Range[uint16]{}, mipv6.Range[uint16]{}
	if only.Destination == mipv6.Only(home) {
		only.Destination = mipv6.Range[netip.Addr]{}
	}
	connection := s.SourcePort.Kind == mipv6.One && s.DestinationPort.Kind == mipv6.One &&
		s.SourcePort.Start != 0 && s.DestinationPort.Start != 0
	client := s.SourcePort.Kind == mipv6.Anything && s.DestinationPort.Kind == mipv6.Anything
	if only != (mipv6.TrafficSelector{}) || s.Source.Kind != mipv6.One || !mipv6.IsUnicastRoutable(s.Source.Start) ||
		s.Source.Start == home || !connection && !client {
		return f, mipv6.FlowReasonUnspecified
	}
	return bindings.Flow{Client: s.Source.Start, HomePort: s.DestinationPort.Start, ClientPort: s.SourcePort.Start}, mipv6.FlowAccepted
}

// changed tells the data plane. A care-of address must be known before a flow goes
// there, and for as long.
func (c *core) changed(k bindings.FurtherKey, changes bindings.FurtherChanges, a *answer) (actions []action) {
	careOf := func(kind actionKind, addr netip.Addr) {
		actions = append(actions, action{kind: kind, answer: a, further: k, flow: dataplane.FlowTunnel{Flow: dataplane.Flow{Home: k.Home}, CareOf: addr}})
	}
	for _, addr := range changes.Added {
		careOf(actAddCareOf, addr)
	}
	for _, f := range changes.Flows {
		kind := actSetFlow
		if !f.CareOf.IsValid() {
			kind = actRemoveFlow
		}
		actions = append(actions, action{kind: kind, answer: a, further: k, flow: dataplane.FlowTunnel{
			Flow:   dataplane.Flow{Home: k.Home, Client: f.Client, HomePort: f.HomePort, ClientPort: f.ClientPort},
			CareOf: f.CareOf,
		}})
	}
	for _, addr := range changes.Removed {
		careOf(actRemoveCareOf, addr)
	}
	return actions
}

// failedFurther takes back a further care-of address that the host refused.
func (c *core) failedFurther(now time.Time, f action) []action {
	actions := c.changed(f.further, c.further.Remove(f.further), nil)
	f.answer.flows = nil
	return append(actions, c.limited(now, f.answer.packet(
		bindings.Result{Status: mipv6.StatusInsufficientResources, Sequence: f.answer.update.Sequence}))...)
}

// settled notes whether a home registration came with a Binding Identifier. One
// without is the only binding of its home address (RFC 5648 §6.2).
func (c *core) settled(a *answer, kind bindings.ChangeKind) (actions []action) {
	home := a.home()
	if c.further == nil || kind == bindings.Unchanged || kind == bindings.Removed {
		return nil
	}
	if a.id != nil {
		c.identifiers[home] = true
		return nil
	}
	delete(c.identifiers, home)
	return c.changed(bindings.FurtherKey{Home: home}, c.further.RemoveHome(home), nil)
}

// forgetFurther forgets the further bindings of a home address; the data plane
// does with its tunnel.
func (c *core) forgetFurther(home netip.Addr) {
	if c.further != nil {
		c.further.RemoveHome(home)
		delete(c.identifiers, home)
	}
}

// pollFurther ends further bindings whose lifetime is over.
func (c *core) pollFurther(now time.Time) (actions []action) {
	if c.further == nil {
		return nil
	}
	for _, e := range c.further.Poll(now) {
		c.count(CounterExpired)
		actions = append(actions, c.changed(e.FurtherKey, e.Changes, nil)...)
	}
	return actions
}

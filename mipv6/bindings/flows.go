package bindings

import (
	"net/netip"
	"slices"

	"github.com/vanycast/vanycast/mipv6"
)

// update brings the flow bindings of a binding in line with a request. The ones
// that go make room first.
func (f *Further) update(b *further, r FurtherRequest, c *FurtherChanges) []FlowResult {
	wanted := make(map[uint16]bool, len(r.Flows)+len(r.Keep))
	for _, id := range r.Keep {
		wanted[id] = true
	}
	for _, w := range r.Flows {
		wanted[w.ID] = true
	}
	for _, id := range sortedIDs(b.flows) {
		if !wanted[id] {
			f.removeFlow(b.flows[id], c)
		}
	}
	results := make([]FlowResult, 0, len(r.Flows))
	for _, w := range r.Flows {
		results = append(results, FlowResult{w.ID, w.Priority, f.setFlow(b, w, c)})
	}
	for _, id := range r.Keep {
		if b.flows[id] == nil {
			results = append(results, FlowResult{ID: id, Status: mipv6.FlowUnknown})
		}
	}
	return results
}

// setFlow makes or changes one flow binding.
func (f *Further) setFlow(b *further, w FlowBinding, c *FurtherChanges) mipv6.FlowStatus {
	home := f.homes[b.Home]
	old := home.flows[w.ID]
	switch {
	case w.ID == 0:
		return mipv6.FlowMalformed // reserved
	case old != nil && old.of != b:
		return mipv6.FlowAdministrativelyProhibited // another replica's number
	case old != nil && old.FlowBinding == w:
		return mipv6.FlowAccepted
	case old == nil && (f.flows >= f.cfg.Flows || len(b.flows) >= f.cfg.PerBinding):
		return mipv6.FlowReasonUnspecified
	}
	if old != nil {
		f.removeFlow(old, c)
	}
	e := &flowBinding{w, b}
	b.flows[w.ID], home.flows[w.ID] = e, e
	f.flows++
	f.claim(home, w.Flow, c, func(all []*flowBinding) []*flowBinding {
		// Behind those that it does not precede: of equals the first one counts.
		i := slices.IndexFunc(all, func(o *flowBinding) bool { return After(o.Priority, w.Priority) })
		if i < 0 {
			i = len(all)
		}
		return slices.Insert(all, i, e)
	})
	return mipv6.FlowAccepted
}

func (f *Further) removeFlow(e *flowBinding, c *FurtherChanges) {
	home := f.homes[e.of.Home]
	delete(e.of.flows, e.ID)
	delete(home.flows, e.ID)
	f.flows--
	f.claim(home, e.Flow, c, func(all []*flowBinding) []*flowBinding {
		return slices.DeleteFunc(all, func(o *flowBinding) bool { return o == e })
	})
}

// claim changes who claims a flow, and notes where its packets go now if that is
// somewhere else than before.
func (f *Further) claim(home *furtherHome, flow Flow, c *FurtherChanges, change func([]*flowBinding) []*flowBinding) {
	before := chosen(home.claims[flow])
	if all := change(home.claims[flow]); len(all) > 0 {
		home.claims[flow] = all
	} else {
		delete(home.claims, flow)
	}
	after := chosen(home.claims[flow])
	if after == before {
		return
	}
	i := slices.IndexFunc(c.Flows, func(o FlowChange) bool { return o.Flow == flow })
	if i >= 0 {
		c.Flows[i].CareOf = after // only the end counts
		return
	}
	c.Flows = append(c.Flows, FlowChange{flow, after})
}

func chosen(all []*flowBinding) netip.Addr {
	if len(all) == 0 {
		return netip.Addr{}
	}
	return all[0].of.careOf
}

// CareOfs are the further care-of addresses of a home address, sorted; Flows where
// its flows go.
func (f *Further) CareOfs(home netip.Addr) (all []netip.Addr) {
	for _, b := range f.of(home) {
		all = append(all, b.careOf)
	}
	slices.SortFunc(all, netip.Addr.Compare)
	return slices.Compact(all)
}

// Flows are the flows of a home address that a flow binding claims, and where they
// go.
func (f *Further) Flows(home netip.Addr) map[Flow]netip.Addr {
	all := make(map[Flow]netip.Addr)
	if h := f.homes[home]; h != nil {
		for flow, claims := range h.claims {
			all[flow] = chosen(claims)
		}
	}
	return all
}

// FlowCount is the number of flow bindings.
func (f *Further) FlowCount() int { return f.flows }

// Len is the number of further bindings.
func (f *Further) Len() int { return len(f.bindings) }

// Claims tells whether a binding has a flow binding for a flow, with that priority.
func (f *Further) Claims(k FurtherKey, flow Flow, priority uint16) bool {
	b := f.bindings[k]
	if b == nil {
		return false
	}
	for _, e := range b.flows {
		if e.Flow == flow && e.Priority == priority {
			return true
		}
	}
	return false
}

package bindings

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/vanycast/vanycast/mipv6"
)

// FurtherKey finds a further binding of a home address: by its Binding Identifier.
type FurtherKey struct {
	Home netip.Addr
	ID   uint16
}

func (k FurtherKey) String() string { return fmt.Sprintf("%v, binding %d", k.Home, k.ID) }

func compareFurther(a, b FurtherKey) int {
	return cmp.Or(a.Home.Compare(b.Home), cmp.Compare(a.ID, b.ID))
}

// FurtherRequest is a Binding Update with a Binding Identifier, well-formed and
// authorised, for a binding beside the home registration (RFC 5648 §6.2), and the
// flow bindings in it.
type FurtherRequest struct {
	FurtherKey
	CareOf   netip.Addr
	Sequence uint16
	Lifetime time.Duration // as asked for; zero deletes
	// Flows are made or changed, those with the numbers Keep stay as they are, and
	// all others of this binding go (RFC 6089 §5.2).
	Flows []FlowBinding
	Keep  []uint16
}

// Flow are the packets of a flow binding: a client's, or with ports those of one
// connection.
type Flow struct {
	Client               netip.Addr
	HomePort, ClientPort uint16
}

// FlowBinding is one flow binding (RFC 6089 §5.1).
type FlowBinding struct {
	ID       uint16 // FID, unique for a home address
	Priority uint16 // FID-PRI
	Flow
}

// FurtherResult answers a FurtherRequest.
type FurtherResult struct {
	Status   mipv6.Status
	Sequence uint16        // the request's, or with StatusSequenceOutOfWindow the last accepted
	Lifetime time.Duration // granted; zero for refusals and deletions
	Flows    []FlowResult  // in the request's order; then kept ones that are not there
	Changes  FurtherChanges
}

// FlowResult says what became of a flow binding.
type FlowResult struct {
	ID, Priority uint16
	Status       mipv6.FlowStatus
}

// FurtherChanges are what the data plane must be told.
type FurtherChanges struct {
	Added, Removed []netip.Addr // care-of addresses
	Flows          []FlowChange
}

// FlowChange says where the packets of a flow go now; invalid: where the home
// registration leads.
type FlowChange struct {
	Flow
	CareOf netip.Addr
}

// FurtherConfig bounds a Further. Zero fields have defaults.
type FurtherConfig struct {
	Limit       int           // bindings in all
	PerHome     int           // of one home address
	Flows       int           // flow bindings in all
	PerBinding  int           // of one binding
	MaxLifetime time.Duration // what is granted
}

// Further are a home agent's bindings beside the home registrations, with their
// flow bindings. Like Cache it has no I/O and no clock.
//
// Several flow bindings may be for the same packets: replicas have numbers of
// their own. Then the one with the least priority number counts (RFC 6089 §4.2);
// compared modulo 2^16, as sequence numbers are, for a new owner takes the next one
// down. So it does not matter in which order their updates arrive.
type Further struct {
	cfg       FurtherConfig
	bindings  map[FurtherKey]*further
	homes     map[netip.Addr]*furtherHome
	flows     int
	deadlines deadlines[FurtherKey]
}

type further struct {
	FurtherKey
	careOf   netip.Addr
	sequence uint16
	expires  time.Time
	flows    map[uint16]*flowBinding
}

// furtherHome is what all bindings of a home address share.
type furtherHome struct {
	bindings int
	flows    map[uint16]*flowBinding
	claims   map[Flow][]*flowBinding // the one that counts first
}

type flowBinding struct {
	FlowBinding
	of *further
}

// NewFurther makes one without bindings.
func NewFurther(cfg FurtherConfig) *Further {
	def := func(n *int, v int) {
		if *n <= 0 {
			*n = v
		}
	}
	def(&cfg.Limit, DefaultFurtherLimit)
	def(&cfg.PerHome, DefaultFurtherPerHome)
	def(&cfg.Flows, DefaultFlowLimit)
	def(&cfg.PerBinding, DefaultFlowsPerBinding)
	if cfg.MaxLifetime <= 0 || cfg.MaxLifetime > mipv6.MaxLifetime {
		cfg.MaxLifetime = mipv6.MaxLifetime
	}
	return &Further{
		cfg: cfg, bindings: make(map[FurtherKey]*further), homes: make(map[netip.Addr]*furtherHome),
		deadlines: deadlines[FurtherKey]{less: func(a, b FurtherKey) bool { return compareFurther(a, b) < 0 }},
	}
}

// Update applies a request.
func (f *Further) Update(now time.Time, r FurtherRequest) FurtherResult {
	var c FurtherChanges
	b := f.bindings[r.FurtherKey]
	if b != nil && !now.Before(b.expires) {
		f.remove(b, &c)
		b = nil
	}
	res := f.judge(b, r)
	if !res.Status.Accepted() {
		res.Changes = c
		return res
	}
	if r.Lifetime == 0 {
		f.remove(b, &c)
		res.Changes = c
		return res
	}
	if b == nil {
		b = f.add(r, &c)
	}
	b.sequence, b.expires = r.Sequence, now.Add(res.Lifetime)
	f.deadlines.add(b.expires, b.FurtherKey)
	f.deadlines.compact(len(f.bindings), f.valid)
	res.Flows = f.update(b, r, &c)
	res.Changes = c
	return res
}

// judge decides about the binding without changing anything.
func (f *Further) judge(b *further, r FurtherRequest) FurtherResult {
	refuse := func(s mipv6.Status) FurtherResult { return FurtherResult{Status: s, Sequence: r.Sequence} }
	switch {
	case b != nil && b.careOf != r.CareOf:
		// The identifiers are chosen by hosts that do not ask each other.
		return refuse(mipv6.StatusAdministrativelyProhibited)
	case b != nil && !After(r.Sequence, b.sequence):
		return FurtherResult{Status: mipv6.StatusSequenceOutOfWindow, Sequence: b.sequence}
	case r.Lifetime == 0 && b == nil:
		return refuse(mipv6.StatusNotHomeAgent) // RFC 5648 §6.2
	case r.Lifetime == 0:
		return FurtherResult{Sequence: r.Sequence}
	}
	lifetime := min(r.Lifetime, f.cfg.MaxLifetime).Truncate(mipv6.TimeUnit)
	home := f.homes[r.Home]
	switch {
	case lifetime <= 0:
		return refuse(mipv6.StatusReasonUnspecified)
	case b == nil && (len(f.bindings) >= f.cfg.Limit || home != nil && home.bindings >= f.cfg.PerHome):
		return refuse(mipv6.StatusInsufficientResources)
	}
	return FurtherResult{Sequence: r.Sequence, Lifetime: lifetime}
}

func (f *Further) add(r FurtherRequest, c *FurtherChanges) *further {
	b := &further{FurtherKey: r.FurtherKey, careOf: r.CareOf, flows: make(map[uint16]*flowBinding)}
	f.bindings[r.FurtherKey] = b
	home := f.homes[r.Home]
	if home == nil {
		home = &furtherHome{flows: make(map[uint16]*flowBinding), claims: make(map[Flow][]*flowBinding)}
		f.homes[r.Home] = home
	}
	home.bindings++
	if f.registered(r.Home, r.CareOf) == 1 {
		c.Added = append(c.Added, r.CareOf)
	}
	return b
}

// registered counts the bindings of a home address to a care-of address.
func (f *Further) registered(home, careOf netip.Addr) (n int) {
	for k, b := range f.bindings {
		if k.Home == home && b.careOf == careOf {
			n++
		}
	}
	return n
}

// remove takes a binding away, with its flow bindings.
func (f *Further) remove(b *further, c *FurtherChanges) {
	for _, id := range sortedIDs(b.flows) {
		f.removeFlow(b.flows[id], c)
	}
	delete(f.bindings, b.FurtherKey)
	home := f.homes[b.Home]
	if home.bindings--; home.bindings == 0 {
		delete(f.homes, b.Home)
	}
	if f.registered(b.Home, b.careOf) == 0 {
		c.Removed = append(c.Removed, b.careOf)
	}
}

// RemoveHome takes all bindings of a home address away.
func (f *Further) RemoveHome(home netip.Addr) (c FurtherChanges) {
	for _, b := range f.of(home) {
		f.remove(b, &c)
	}
	return c
}

// Remove takes one binding away.
func (f *Further) Remove(k FurtherKey) (c FurtherChanges) {
	if b := f.bindings[k]; b != nil {
		f.remove(b, &c)
	}
	return c
}

// of are the bindings of a home address, in order.
func (f *Further) of(home netip.Addr) (all []*further) {
	if f.homes[home] == nil {
		return nil
	}
	for k, b := range f.bindings {
		if k.Home == home {
			all = append(all, b)
		}
	}
	slices.SortFunc(all, func(a, b *further) int { return compareFurther(a.FurtherKey, b.FurtherKey) })
	return all
}

// FurtherExpired is a binding whose lifetime is over, and what that changed.
type FurtherExpired struct {
	FurtherKey
	Changes FurtherChanges
}

// Poll removes the bindings whose lifetime is over.
func (f *Further) Poll(now time.Time) (expired []FurtherExpired) {
	for {
		k, ok := f.deadlines.due(now, f.valid)
		if !ok {
			return expired
		}
		e := FurtherExpired{FurtherKey: k}
		f.remove(f.bindings[k], &e.Changes)
		expired = append(expired, e)
	}
}

// Next is when Poll has something to do; false for never.
func (f *Further) Next() (time.Time, bool) { return f.deadlines.next(f.valid) }

func (f *Further) valid(k FurtherKey, at time.Time) bool {
	b := f.bindings[k]
	return b != nil && b.expires.Equal(at)
}

func sortedIDs[V any](m map[uint16]V) []uint16 {
	ids := make([]uint16, 0, len(m))
	for id := range m {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

package bindings

import (
	"net/netip"
	"time"

	"github.com/vanycast/vanycast/mipv6"
)

// Request is a Binding Update that is well-formed and authorised: by return
// routability (rr.Responder.Verify) at a correspondent, by configuration and
// IPsec at a home agent.
type Request struct {
	Key
	CareOf           netip.Addr // Alternate Care-of Address option, else the packet's source
	Sequence         uint16
	Lifetime         time.Duration // as asked for
	HomeRegistration bool
	LinkLocal        bool
	KeyManagement    bool
	// Nonces is the update's Nonce Indices option; nil for home registrations.
	// Indices are taken to count up, as rr.Responder's do.
	Nonces *mipv6.NonceIndices
}

// Deletes reports whether the request is for deletion: lifetime zero, or a
// care-of address equal to the home address (RFC 6275 §9.5.1).
func (r Request) Deletes() bool { return r.Lifetime == 0 || r.CareOf == r.Home }

// ChangeKind says what happened to a binding.
type ChangeKind uint8

const (
	Unchanged ChangeKind = iota
	Created
	Moved     // another care-of address
	Refreshed // the same care-of address, a new lifetime
	Removed
)

// String names the kind.
func (k ChangeKind) String() string {
	return [...]string{"unchanged", "created", "moved", "refreshed", "removed"}[min(k, Removed)]
}

// Change is what a request did to the cache, and so what the data plane must be
// told.
type Change struct {
	Kind     ChangeKind
	Binding  Binding    // as it is now; of Removed, as it was
	Previous netip.Addr // of Moved: the care-of address before
}

// Result answers a request: the fields of the Binding Acknowledgement
// (RFC 6275 §6.1.8), and the change made.
type Result struct {
	Status   mipv6.Status
	Sequence uint16        // the request's, or with StatusSequenceOutOfWindow the last accepted
	Lifetime time.Duration // granted; zero for refusals and deletions
	Change   Change
}

// Check tells how Update would answer now, and changes nothing: a home agent
// asks before it starts duplicate address detection (RFC 6275 §10.3.1). New
// says that the binding would be created.
func (c *Cache) Check(now time.Time, r Request) (status mipv6.Status, isNew bool) {
	e := c.live(now, r.Key)
	res := c.judge(now, e, r)
	return res.Status, res.Status.Accepted() && !r.Deletes() && (e == nil || e.removed)
}

// Update applies a request (RFC 6275 §9.5.1–9.5.3, §10.3).
func (c *Cache) Update(now time.Time, r Request) Result {
	e := c.live(now, r.Key)
	res := c.judge(now, e, r)
	switch {
	case !res.Status.Accepted():
		return res
	case r.Deletes():
		if e == nil || e.removed {
			// Nothing was bound. Of an update that used nonces the number is not
			// kept: it created nothing, so its copies do not either.
			return res
		}
		was := e.Binding
		e.note(now, r)
		c.retire(now, e)
		res.Change = Change{Kind: Removed, Binding: was}
		return res
	}
	res.Change = c.bind(now, e, r, res.Lifetime)
	return res
}

// live is the entry of key; one that has expired without a Poll yet counts as
// removed.
func (c *Cache) live(now time.Time, key Key) *entry {
	e := c.entries[key]
	if e != nil && !e.removed && !now.Before(e.Expires) {
		c.retire(now, e)
		e = c.entries[key]
	}
	return e
}

// judge decides without changing anything.
func (c *Cache) judge(now time.Time, e *entry, r Request) Result {
	refuse := func(s mipv6.Status) Result { return Result{Status: s, Sequence: r.Sequence} }
	switch {
	case e != nil && !e.removed:
		if e.HomeRegistration != r.HomeRegistration {
			return refuse(mipv6.StatusRegistrationTypeChange) // §9.5.1
		}
		if !After(r.Sequence, e.Sequence) {
			return Result{Status: mipv6.StatusSequenceOutOfWindow, Sequence: e.Sequence} // §9.5.1
		}
	case e != nil && r.Nonces != nil && !After(r.Nonces.Home, e.nonce) && !After(r.Sequence, e.Sequence) &&
		now.Before(e.guard):
		// A removed binding's update, come again (§9.5.3). Or its owner, with
		// a token still fresh: telling the last number lets it go on.
		return Result{Status: mipv6.StatusSequenceOutOfWindow, Sequence: e.Sequence}
	}
	known := e != nil && !e.removed
	if r.Deletes() {
		if r.HomeRegistration && !known {
			return refuse(mipv6.StatusNotHomeAgent) // §10.3.2
		}
		return Result{Status: mipv6.StatusAccepted, Sequence: r.Sequence}
	}
	lifetime := min(r.Lifetime, mipv6.MaxRRBindingLifetime)
	if r.HomeRegistration {
		lifetime = min(r.Lifetime, c.cfg.MaxLifetime)
	}
	lifetime = lifetime.Truncate(mipv6.TimeUnit)
	if lifetime <= 0 {
		return refuse(mipv6.StatusReasonUnspecified)
	}
	if e == nil && c.full(r) {
		return refuse(mipv6.StatusInsufficientResources)
	}
	return Result{Status: mipv6.StatusAccepted, Sequence: r.Sequence, Lifetime: lifetime}
}

func (c *Cache) full(r Request) bool {
	return len(c.entries) >= c.cfg.Limit ||
		!r.HomeRegistration && c.prefixes[prefix(r.Home)] >= c.cfg.PerPrefix
}

// bind creates or changes the entry.
func (c *Cache) bind(now time.Time, e *entry, r Request, lifetime time.Duration) Change {
	change := Change{Kind: Refreshed}
	switch {
	case e == nil:
		e = &entry{Binding: Binding{Key: r.Key}}
		c.entries[r.Key] = e
		if !r.HomeRegistration {
			c.prefixes[prefix(r.Home)]++
		}
		change.Kind = Created
	case e.removed:
		if e.HomeRegistration != r.HomeRegistration {
			// The remembered binding was of the other kind; count anew.
			c.forget(e)
			return c.bind(now, nil, r, lifetime)
		}
		e.removed, change.Kind = false, Created
	case e.CareOf != r.CareOf:
		change.Kind, change.Previous = Moved, e.CareOf
	}
	e.note(now, r)
	e.CareOf, e.HomeRegistration = r.CareOf, r.HomeRegistration
	e.LinkLocal, e.KeyManagement = r.LinkLocal, r.KeyManagement
	e.Lifetime, e.Expires = lifetime, now.Add(lifetime)
	e.requests = 0
	c.schedule(e, e.firstDue())
	change.Binding = e.Binding
	return change
}

// note keeps what replays are told by.
func (e *entry) note(now time.Time, r Request) {
	e.Sequence = r.Sequence
	if r.Nonces == nil {
		return
	}
	if !e.hasNonces || After(r.Nonces.Home, e.nonce) {
		e.nonce = r.Nonces.Home
	}
	e.hasNonces, e.guard = true, now.Add(mipv6.MaxNonceLifetime)
}

package bindings

import "time"

// EventKind says what the passing of time did.
type EventKind uint8

const (
	// Expired: the binding's lifetime is over; it is removed.
	Expired EventKind = iota + 1
	// RefreshRequest: the binding is in use and about to expire; a Binding
	// Refresh Request is due to the mobile node (RFC 6275 §9.5.5).
	RefreshRequest
)

// String names the kind.
func (k EventKind) String() string {
	switch k {
	case Expired:
		return "expired"
	case RefreshRequest:
		return "refresh request"
	}
	return "none"
}

// Event is what Poll found due.
type Event struct {
	Kind    EventKind
	Binding Binding
}

// Poll returns what has become due: bindings that expired (and are removed), and
// those whose refresh should be asked for. In order of time, then of key.
func (c *Cache) Poll(now time.Time) []Event {
	var out []Event
	for {
		key, ok := c.deadlines.due(now, c.valid)
		if !ok {
			return out
		}
		e := c.entries[key]
		e.due = time.Time{} // taken off
		switch {
		case e.removed:
			c.forget(e)
		case !now.Before(e.Expires):
			out = append(out, Event{Expired, e.Binding})
			c.retire(now, e)
		default:
			if c.cfg.InUse != nil && c.cfg.InUse(key) {
				out = append(out, Event{RefreshRequest, e.Binding})
			}
			e.requests++
			c.schedule(e, e.nextDue())
		}
	}
}

// Next is when Poll has something to do; false with an empty cache.
func (c *Cache) Next() (time.Time, bool) { return c.deadlines.next(c.valid) }

// Len is how many entries there are, remembered ones included.
func (c *Cache) Len() int { return len(c.entries) }

// firstDue is when the entry first needs a look: home registrations only at
// their end, for a home agent does not ask.
func (e *entry) firstDue() time.Time {
	if e.HomeRegistration {
		return e.Expires
	}
	return e.Expires.Add(-e.lead())
}

// nextDue halves what is left of the lead, up to MaxRefreshRequests times.
func (e *entry) nextDue() time.Time {
	if e.requests >= MaxRefreshRequests {
		return e.Expires
	}
	return e.Expires.Add(-(e.lead() >> e.requests))
}

// lead is how long before the end the first request is due.
func (e *entry) lead() time.Duration { return min(requestLead, e.Lifetime/4) }

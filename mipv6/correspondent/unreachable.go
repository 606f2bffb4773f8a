package correspondent

import (
	"time"

	"github.com/vanycast/vanycast/mipv6/bindings"
	"github.com/vanycast/vanycast/mipv6/mhsock"
)

// A binding whose care-of address is persistently reported as unreachable is
// deleted (RFC 6275 §9.3.4): the traffic then goes through the home agent,
// which may know better. Persistent is at least so many reports, the last so
// long after the first, with no silence longer than that between them. One
// report, which a stranger can forge, does nothing.
const (
	unreachableReports = 3
	unreachableFor     = 10 * time.Second
)

type unreachable struct {
	reports     int
	first, last time.Time
}

// icmp takes an ICMPv6 error; false if it is not about a packet that a binding
// has routed.
func (c *core) icmp(now time.Time, e mhsock.ICMPError) (actions []action, handled bool) {
	if !e.RoutedHome.IsValid() {
		return nil, false
	}
	key := bindings.Key{Local: e.Src, Home: e.RoutedHome}
	b, ok := c.cache.Lookup(now, key)
	if !ok || b.CareOf != e.Dst {
		return nil, false
	}
	if e.Type != mhsock.TypeDestinationUnreachable {
		return nil, true
	}
	u := c.unreachable[key]
	if u.reports == 0 || now.Sub(u.last) > unreachableFor {
		u = unreachable{first: now}
	}
	u.reports++
	u.last = now
	if u.reports < unreachableReports || now.Sub(u.first) < unreachableFor {
		c.unreachable[key] = u
		return nil, true
	}
	c.count(CounterUnreachable)
	c.cache.Remove(now, key)
	return c.removed(b), true
}

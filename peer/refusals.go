package peer

import (
	"net/netip"
	"sync"
	"time"
)

// maxRefusals bounds how many sources are remembered.
const maxRefusals = 1024

// refusals decides which refused sources are logged: each once per interval,
// and none that there is no room to remember, so that strangers can fill
// neither the memory nor the log.
type refusals struct {
	interval time.Duration

	mu   sync.Mutex
	last map[netip.Addr]time.Time
}

func newRefusals(interval time.Duration) *refusals {
	return &refusals{interval: interval, last: make(map[netip.Addr]time.Time)}
}

// shouldLog tells whether to log the refusal of source now.
func (r *refusals) shouldLog(source netip.Addr, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if t, ok := r.last[source]; ok && now.Sub(t) < r.interval {
		return false
	}
	if len(r.last) >= maxRefusals {
		for a, t := range r.last {
			if now.Sub(t) >= r.interval {
				delete(r.last, a)
			}
		}
		if len(r.last) >= maxRefusals {
			return false
		}
	}
	r.last[source] = now
	return true
}

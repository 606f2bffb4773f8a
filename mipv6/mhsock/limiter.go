package mhsock

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"
)

// Limiter limits how many answers go out to what strangers provoke: errors
// above all (RFC 6275 §9.3.3, in the manner of RFC 4443 §2.4(f)). Each
// destination prefix (/64) has its own allowance, shared by the unlucky ones
// that a secret hash puts together, and all of them a common one. The memory
// is fixed.
type Limiter struct {
	mu    sync.Mutex
	seed  maphash.Seed
	slots [256]bucket
	all   bucket
}

// Allowances of one destination and of all, in answers a second; the burst is
// that of one second.
const (
	limitPerDestination = 10
	limitOfAll          = 200
)

// bucket is a token bucket. Its zero value is full.
type bucket struct {
	used float64 // tokens taken and not grown back
	at   time.Time
}

// NewLimiter makes a Limiter.
func NewLimiter() *Limiter { return &Limiter{seed: maphash.MakeSeed()} }

// Allow tells whether an answer may go to this destination now.
func (l *Limiter) Allow(now time.Time, to netip.Addr) bool {
	a := to.As16()
	slot := maphash.Bytes(l.seed, a[:8]) % uint64(len(l.slots))
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.slots[slot].take(now, limitPerDestination) && l.all.take(now, limitOfAll)
}

func (b *bucket) take(now time.Time, rate float64) bool {
	if passed := now.Sub(b.at).Seconds(); passed > 0 {
		b.used = max(0, b.used-passed*rate)
		b.at = now
	}
	if b.used+1 > rate {
		return false
	}
	b.used++
	return true
}

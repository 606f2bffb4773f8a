package rr

import (
	"hash/fnv"
	"net/netip"
	"time"
)

// limiter bounds how many tests a second the Responder answers, in all and per
// neighbourhood of askers. It is a fixed array: a stranger who forges sources
// can make it busier, never larger. Askers are sorted into slots by a keyed hash
// of their /64, so nobody can choose whom to share a slot with.
type limiter struct {
	seed  [8]byte
	rate  float64 // per slot and second
	burst float64
	all   bucket
	slots [256]bucket
}

type bucket struct {
	level float64 // what is left
	at    time.Time
}

// take takes one from the bucket, which fills at rate up to burst.
func (b *bucket) take(now time.Time, rate, burst float64) bool {
	switch {
	case b.at.IsZero():
		b.level = burst
	case now.After(b.at):
		b.level = min(burst, b.level+now.Sub(b.at).Seconds()*rate)
	}
	b.at = now
	if b.level < 1 {
		return false
	}
	b.level--
	return true
}

func (l *limiter) allow(now time.Time, from netip.Addr) bool {
	a := from.As16()
	h := fnv.New64a()
	h.Write(l.seed[:])
	h.Write(a[:8])
	slot := &l.slots[byte(h.Sum64()>>24)]
	if !slot.take(now, l.rate, l.burst) {
		return false
	}
	// The total is a few busy slots' worth.
	return l.all.take(now, 16*l.rate, 16*l.burst)
}

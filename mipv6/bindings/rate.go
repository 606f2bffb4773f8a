package bindings

import (
	"net/netip"
	"time"

	"github.com/vanycast/vanycast/mipv6"
)

// rateWindow is the second of MAX_UPDATE_RATE.
const rateWindow = time.Second

// rate remembers the last MAX_UPDATE_RATE transmissions to one node. RFC 6275
// §11.8 forbids more than that within a second to one correspondent, whatever
// the home address.
type rate struct {
	sent [mipv6.MaxUpdateRate]time.Time // a ring
	next int                            // the oldest
}

// earliest is when the next transmission may be.
func (r *rate) earliest() time.Time {
	if oldest := r.sent[r.next]; !oldest.IsZero() {
		return oldest.Add(rateWindow)
	}
	return time.Time{}
}

func (r *rate) note(now time.Time) {
	r.sent[r.next] = now
	r.next = (r.next + 1) % len(r.sent)
}

// last is the latest transmission.
func (r *rate) last() time.Time { return r.sent[(r.next+len(r.sent)-1)%len(r.sent)] }

// mayTransmit reports whether a Binding Update may go to peer now, and if not,
// when.
func (l *UpdateList) mayTransmit(now time.Time, peer netip.Addr) (bool, time.Time) {
	r := l.rates[peer]
	if r == nil {
		return true, now
	}
	at := r.earliest()
	return !now.Before(at), at
}

// Allowed is the earliest moment, at or after now, at which MAX_UPDATE_RATE lets a
// Binding Update go to peer.
func (l *UpdateList) Allowed(now time.Time, peer netip.Addr) time.Time {
	if ok, at := l.mayTransmit(now, peer); !ok {
		return at
	}
	return now
}

func (l *UpdateList) noteTransmit(now time.Time, peer netip.Addr) {
	r := l.rates[peer]
	if r == nil {
		if len(l.rates) > len(l.entries)+64 {
			l.sweepRates(now)
		}
		r = &rate{}
		l.rates[peer] = r
	}
	r.note(now)
}

// sweepRates drops what no longer limits anything. It outlives the entries on
// purpose: forgetting an entry and making it anew must not raise the rate.
func (l *UpdateList) sweepRates(now time.Time) {
	for peer, r := range l.rates {
		if now.Sub(r.last()) >= rateWindow {
			delete(l.rates, peer)
		}
	}
}

package election

import (
	"net/netip"
	"time"
)

// member is another replica as this one sees it.
type member struct {
	addr netip.Addr
	rank int // among the candidates, best 0; -1: it is none

	up       bool
	since    time.Time // up or, if it was lost, down since
	heard    time.Time // the last sign of life
	refusing time.Time // since when its host refuses connections; zero: it does not
	tried    bool      // it was pinged, and the ping came to an end

	losses int // within lostMemory of each other
	lost   time.Time

	pinged bool      // a ping is under way
	next   time.Time // of pings
	view   View      // the last that it told
	idle   time.Time // since when it says that it is not contact node, zero if it does not
}

// alive is a sign of life.
func (m *member) alive(now time.Time) {
	m.heard, m.refusing = now, time.Time{}
	if !m.up {
		m.up, m.since = true, now
	}
}

// late notices that a member is dead; true if it just became so.
func (m *member) late(now time.Time, t Timing) bool {
	silent := now.Sub(m.heard) >= t.Silence
	refused := !m.refusing.IsZero() && now.Sub(m.refusing) >= t.Refusing
	if !m.up || !silent && !refused {
		return false
	}
	if now.Sub(m.lost) > lostMemory {
		m.losses = 0
	}
	m.losses++
	m.up, m.since, m.lost, m.view, m.idle = false, now, now, View{}, time.Time{}
	return true
}

// patience is how long it has to be up before it gets the role back.
func (m *member) patience(now time.Time, t Timing) time.Duration {
	if m.losses == 0 || now.Sub(m.lost) > lostMemory {
		return t.Return
	}
	return t.Return << min(m.losses-1, maxDoublings)
}

// usable: it may be contact node now.
func (m *member) usable() bool { return m.rank >= 0 && m.up && !m.view.Leaving && !m.view.Unable }

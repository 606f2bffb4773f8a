package ipsec

import (
	"net/netip"
	"time"
)

const (
	// tellEvery is how often the log has a word about one source.
	tellEvery = time.Minute
	// maxTold bounds how many sources are remembered.
	maxTold = 1024
)

// told are the sources that the log had a word about. One that there is no room
// for is not told of: strangers fill neither the memory nor the log.
type told map[netip.Addr]time.Time

// tell tells whether the log should have a word about source now.
func (t told) tell(now time.Time, source netip.Addr) bool {
	if last, ok := t[source]; ok && now.Sub(last) < tellEvery {
		return false
	}
	if len(t) >= maxTold {
		for a, last := range t {
			if now.Sub(last) >= tellEvery {
				delete(t, a)
			}
		}
		if len(t) >= maxTold {
			return false
		}
	}
	t[source] = now
	return true
}

package framework

import (
	"net/netip"
	"sync"
)

// live counts the connections here of each client address. It has a lock of its
// own, apart from the loop, because the anycast side asks while it holds a lock
// that the loop may be waiting for.
type live struct {
	mu    sync.Mutex
	count map[netip.Addr]int
}

func newLive() *live { return &live{count: make(map[netip.Addr]int)} }

func (l *live) add(a netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count[a]++
}

func (l *live) remove(a netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.count[a]--; l.count[a] <= 0 {
		delete(l.count, a)
	}
}

func (l *live) of(a netip.Addr) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count[a]
}

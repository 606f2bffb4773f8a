package framework

import (
	"maps"
	"net/netip"
	"slices"
	"sync"
)

// live counts the connections here, by client address and one by one. It has a
// lock of its own, apart from the loop, because the anycast side asks while it
// holds a lock that the loop may be waiting for.
type live struct {
	mu    sync.Mutex
	count map[netip.Addr]int
	// ends are the clients' ends. A connection may be here twice for a moment: back
	// from another replica before its leaving is known.
	ends map[netip.AddrPort]int
}

func newLive() *live {
	return &live{count: make(map[netip.Addr]int), ends: make(map[netip.AddrPort]int)}
}

func (l *live) add(client netip.AddrPort) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count[client.Addr()]++
	l.ends[client]++
}

func (l *live) remove(client netip.AddrPort) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.count[client.Addr()]--; l.count[client.Addr()] <= 0 {
		delete(l.count, client.Addr())
	}
	if l.ends[client]--; l.ends[client] <= 0 {
		delete(l.ends, client)
	}
}

// of is the number of a client address's connections.
func (l *live) of(client netip.Addr) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count[client]
}

func (l *live) connected(client netip.AddrPort) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ends[client] > 0
}

func (l *live) connections() []netip.AddrPort {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(maps.Keys(l.ends))
}

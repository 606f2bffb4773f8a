package framework

import (
	"iter"
	"maps"
	"net/netip"
	"slices"
	"sync"
)

// Live counts the open connections here of each client address with one contact
// address. All services of a contact address share one: a binding moves all that
// a client has with the address, whatever the port. It has a lock of its own,
// apart from the services, because the anycast side asks while it holds a lock that
// a service's event may be waiting for.
type Live struct {
	mu       sync.Mutex
	byClient map[netip.Addr]int
	byEnds   map[ends]int
}

// ends name a connection. Two clients of a service may have the same for a
// moment: a connection may be back from another replica before its leaving is
// known here.
type ends struct{ local, remote netip.AddrPort }

// NewLive makes one that knows of no connection.
func NewLive() *Live { return &Live{byClient: make(map[netip.Addr]int), byEnds: make(map[ends]int)} }

func (l *Live) add(e ends) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.byClient[e.remote.Addr()]++
	l.byEnds[e]++
}

func (l *Live) remove(e ends) {
	l.mu.Lock()
	defer l.mu.Unlock()
	decrement(l.byClient, e.remote.Addr())
	decrement(l.byEnds, e)
}

func decrement[K comparable](m map[K]int, k K) {
	if m[k]--; m[k] <= 0 {
		delete(m, k)
	}
}

// of is the number of a client address's connections.
func (l *Live) of(client netip.Addr) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.byClient[client]
}

// Connected tells whether a connection is alive here.
func (l *Live) Connected(local, remote netip.AddrPort) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.byEnds[ends{local, remote}] > 0
}

// Connections are the ends, local and remote, of all that are alive here.
func (l *Live) Connections() iter.Seq2[netip.AddrPort, netip.AddrPort] {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := slices.Collect(maps.Keys(l.byEnds))
	return func(yield func(local, remote netip.AddrPort) bool) {
		for _, e := range all {
			if !yield(e.local, e.remote) {
				return
			}
		}
	}
}

// Others tells whether the client address has a connection besides this one.
func (l *Live) Others(local, remote netip.AddrPort) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.byClient[remote.Addr()] > l.byEnds[ends{local, remote}]
}

package tcpcp

import (
	"container/heap"
	"errors"
	"net/netip"
	"sync"
	"time"
)

// Graveyard keeps frozen connections that were moved away, so that segments
// which still arrive here are swallowed and not answered with a reset. It is
// bounded, has no clock and no goroutine: the time is passed in. It is safe for
// concurrent use.
type Graveyard struct {
	limit int

	mu      sync.Mutex
	byTuple map[FourTuple]*grave
	byLocal map[netip.Addr]int // how many
	byTime  graves
}

// grave is one connection and when it may be forgotten.
type grave struct {
	frozen *Frozen
	until  time.Time
	index  int // in the heap
}

// NewGraveyard makes one for at most limit connections; the one whose time is
// nearest goes when there are more. A limit below 1 is 1.
func NewGraveyard(limit int) *Graveyard {
	return &Graveyard{limit: max(limit, 1), byTuple: make(map[FourTuple]*grave), byLocal: make(map[netip.Addr]int)}
}

// Bury takes f over, to be forgotten at the given time. The error is of another
// connection that had to go for it.
func (g *Graveyard) Bury(f *Frozen, until time.Time) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	var errs []error
	if old := g.byTuple[f.tuple]; old != nil {
		errs = append(errs, g.remove(old).Forget())
	}
	for len(g.byTime) >= g.limit {
		errs = append(errs, g.remove(g.byTime[0]).Forget())
	}
	n := &grave{frozen: f, until: until}
	g.byTuple[f.tuple] = n
	g.byLocal[f.tuple.Local.Addr()]++
	heap.Push(&g.byTime, n)
	return errors.Join(errs...)
}

// Release forgets the connection t, if it is here, so that it can be inserted on
// this host again.
func (g *Graveyard) Release(t FourTuple) error {
	f, ok := g.Exhume(t)
	if !ok {
		return nil
	}
	return f.Forget()
}

// Exhume gives the connection t back, still frozen, to whoever has learnt that
// it was not moved after all.
func (g *Graveyard) Exhume(t FourTuple) (*Frozen, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := g.byTuple[t]
	if n == nil {
		return nil, false
	}
	return g.remove(n), true
}

// Expire forgets the connections whose time has come, and says when it should be
// called next; the zero time if nothing is left.
func (g *Graveyard) Expire(now time.Time) (next time.Time, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	var errs []error
	for len(g.byTime) > 0 && !g.byTime[0].until.After(now) {
		errs = append(errs, g.remove(g.byTime[0]).Forget())
	}
	if len(g.byTime) > 0 {
		next = g.byTime[0].until
	}
	return next, errors.Join(errs...)
}

// Len is how many connections are here.
func (g *Graveyard) Len() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.byTime)
}

// At is how many connections of a local address are here.
func (g *Graveyard) At(local netip.Addr) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.byLocal[local]
}

// Close forgets all.
func (g *Graveyard) Close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	var errs []error
	for len(g.byTime) > 0 {
		errs = append(errs, g.remove(g.byTime[0]).Forget())
	}
	return errors.Join(errs...)
}

func (g *Graveyard) remove(n *grave) *Frozen {
	heap.Remove(&g.byTime, n.index)
	delete(g.byTuple, n.frozen.tuple)
	local := n.frozen.tuple.Local.Addr()
	if g.byLocal[local]--; g.byLocal[local] == 0 {
		delete(g.byLocal, local)
	}
	return n.frozen
}

// graves is a heap, the nearest time first.
type graves []*grave

func (h graves) Len() int           { return len(h) }
func (h graves) Less(i, j int) bool { return h[i].until.Before(h[j].until) }
func (h graves) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}
func (h *graves) Push(x any) {
	n := x.(*grave)
	n.index = len(*h)
	*h = append(*h, n)
}
func (h *graves) Pop() any {
	old := *h
	n := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return n
}

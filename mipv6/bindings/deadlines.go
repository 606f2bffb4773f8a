package bindings

import (
	"container/heap"
	"time"
)

// deadlines orders keys by when they are due. An entry whose time changed is
// simply added again: whoever takes a due key compares it with the entry's own
// time, and drops what is stale. compact bounds what that leaves behind.
type deadlines[K any] struct {
	less  func(a, b K) bool // breaks ties, so that the order is always the same
	items []deadline[K]
}

type deadline[K any] struct {
	at  time.Time
	key K
}

// add notes that key is due at at; a zero time is never due.
func (d *deadlines[K]) add(at time.Time, key K) {
	if !at.IsZero() {
		heap.Push(d, deadline[K]{at, key})
	}
}

// next is the first deadline that is not stale, false if there is none.
func (d *deadlines[K]) next(valid func(K, time.Time) bool) (time.Time, bool) {
	for len(d.items) > 0 {
		if first := d.items[0]; valid(first.key, first.at) {
			return first.at, true
		}
		heap.Pop(d)
	}
	return time.Time{}, false
}

// due takes off one key that is due now and not stale.
func (d *deadlines[K]) due(now time.Time, valid func(K, time.Time) bool) (key K, ok bool) {
	at, ok := d.next(valid)
	if !ok || at.After(now) {
		return key, false
	}
	return heap.Pop(d).(deadline[K]).key, true
}

// compact rebuilds the heap when most of it is stale; live is how many keys
// there are.
func (d *deadlines[K]) compact(live int, valid func(K, time.Time) bool) {
	if len(d.items) <= 2*live+64 {
		return
	}
	kept := d.items[:0]
	for _, it := range d.items {
		if valid(it.key, it.at) {
			kept = append(kept, it)
		}
	}
	clear(d.items[len(kept):])
	d.items = kept
	heap.Init(d)
}

// Len, Less, Swap, Push and Pop implement heap.Interface.
func (d *deadlines[K]) Len() int { return len(d.items) }

func (d *deadlines[K]) Less(i, j int) bool {
	a, b := d.items[i], d.items[j]
	if !a.at.Equal(b.at) {
		return a.at.Before(b.at)
	}
	return d.less(a.key, b.key)
}

func (d *deadlines[K]) Swap(i, j int) { d.items[i], d.items[j] = d.items[j], d.items[i] }
func (d *deadlines[K]) Push(x any)    { d.items = append(d.items, x.(deadline[K])) }

func (d *deadlines[K]) Pop() any {
	last := len(d.items) - 1
	it := d.items[last]
	d.items[last] = deadline[K]{}
	d.items = d.items[:last]
	return it
}

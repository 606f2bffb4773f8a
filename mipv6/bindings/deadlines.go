package bindings

import "time"

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
		d.push(deadline[K]{at, key})
	}
}

// next is the first deadline that is not stale, false if there is none.
func (d *deadlines[K]) next(valid func(K, time.Time) bool) (time.Time, bool) {
	for len(d.items) > 0 {
		if first := d.items[0]; valid(first.key, first.at) {
			return first.at, true
		}
		d.pop()
	}
	return time.Time{}, false
}

// due takes off one key that is due now and not stale.
func (d *deadlines[K]) due(now time.Time, valid func(K, time.Time) bool) (key K, ok bool) {
	at, ok := d.next(valid)
	if !ok || at.After(now) {
		return key, false
	}
	return d.pop().key, true
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
	for i := len(d.items)/2 - 1; i >= 0; i-- {
		d.down(i)
	}
}

// before orders two items of the heap.
func (d *deadlines[K]) before(i, j int) bool {
	a, b := &d.items[i], &d.items[j]
	if !a.at.Equal(b.at) {
		return a.at.Before(b.at)
	}
	return d.less(a.key, b.key)
}

// The heap is container/heap's, without an allocation for each item that comes
// and goes.

func (d *deadlines[K]) push(it deadline[K]) {
	d.items = append(d.items, it)
	for i := len(d.items) - 1; i > 0; {
		parent := (i - 1) / 2
		if !d.before(i, parent) {
			return
		}
		d.items[i], d.items[parent] = d.items[parent], d.items[i]
		i = parent
	}
}

// pop takes off the first item.
func (d *deadlines[K]) pop() deadline[K] {
	first, last := d.items[0], len(d.items)-1
	d.items[0] = d.items[last]
	d.items[last] = deadline[K]{}
	d.items = d.items[:last]
	d.down(0)
	return first
}

// down puts item i where it belongs below.
func (d *deadlines[K]) down(i int) {
	for {
		child := 2*i + 1
		if child >= len(d.items) {
			return
		}
		if right := child + 1; right < len(d.items) && d.before(right, child) {
			child = right
		}
		if !d.before(child, i) {
			return
		}
		d.items[i], d.items[child] = d.items[child], d.items[i]
		i = child
	}
}

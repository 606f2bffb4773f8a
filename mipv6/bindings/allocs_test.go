package bindings

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"
)

func numberedAddr(n int) netip.Addr {
	a := netip.MustParseAddr("2001:db8:f::").As16()
	binary.BigEndian.PutUint32(a[12:], uint32(n+1))
	return netip.AddrFrom16(a)
}

// Looking up a binding, a tick that finds nothing due, and a binding that is
// refreshed allocate nothing.
func TestAllocations(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	local, careOf := netip.MustParseAddr("2001:db8:a::10"), netip.MustParseAddr("2001:db8:1::10")
	c := NewCache(Config{})
	l := NewUpdateList(0)
	const n = 500
	for i := range n {
		c.Update(now, Request{Key: Key{Local: local, Home: numberedAddr(i)}, CareOf: careOf, Sequence: 1, Lifetime: time.Minute})
		if err := l.Learn(Target{Home: local, Peer: numberedAddr(i)}, 1); err != nil {
			t.Fatal(err)
		}
		if err := l.Begin(now, Target{Home: local, Peer: numberedAddr(i)}, Params{Lifetime: time.Minute}); err != nil {
			t.Fatal(err)
		}
	}
	l.Poll(now) // all are sent, and wait for their acknowledgements
	key, target, sequence := Key{Local: local, Home: numberedAddr(7)}, Target{Home: local, Peer: numberedAddr(7)}, uint16(1)
	for name, f := range map[string]func(){
		"Cache.Lookup": func() { c.Lookup(now, key) },
		"Cache.Poll":   func() { c.Poll(now); c.Next() },
		"Cache.Update": func() {
			sequence++
			c.Update(now, Request{Key: key, CareOf: careOf, Sequence: sequence, Lifetime: time.Minute})
		},
		"UpdateList.Get":  func() { l.Get(target) },
		"UpdateList.Poll": func() { l.Poll(now); l.Next() },
	} {
		if allocs := testing.AllocsPerRun(1000, f); allocs > 0 {
			t.Errorf("%s: %v allocations", name, allocs)
		}
	}
}

// The heap gives what was put into it, in order.
func TestDeadlinesInOrder(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	r := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		d := deadlines[int]{less: func(a, b int) bool { return a < b }}
		type item struct {
			at  time.Duration
			key int
		}
		var want []item
		for k := range r.IntN(200) {
			it := item{time.Duration(r.IntN(20)) * time.Second, k}
			want = append(want, it)
			d.add(start.Add(it.at), k)
		}
		// Odd keys go stale.
		valid := func(k int, _ time.Time) bool { return k%2 == 0 }
		want = slices.DeleteFunc(want, func(it item) bool { return it.key%2 != 0 })
		if r.IntN(2) == 0 {
			d.compact(0, valid)
		}
		slices.SortFunc(want, func(a, b item) int {
			if a.at != b.at {
				return int(a.at - b.at)
			}
			return a.key - b.key
		})
		for _, w := range want {
			if at, ok := d.next(valid); !ok || !at.Equal(start.Add(w.at)) {
				t.Fatalf("next: %v, %v; want %v", at, ok, w)
			}
			if k, ok := d.due(start.Add(w.at), valid); !ok || k != w.key {
				t.Fatalf("due: %v, %v; want %v", k, ok, w)
			}
		}
		if k, ok := d.due(start.Add(time.Hour), valid); ok {
			t.Fatalf("%d is left", k)
		}
	}
}

package bindings

import (
	"net/netip"
	"testing"
	"time"
)

// What is refreshed again and again at one moment is due once: the heap stays as
// small as the table, and every refresh as cheap as the first.
func TestRefreshesOfOneMoment(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	key := Key{Local: netip.MustParseAddr("2001:db8:a::10"), Home: netip.MustParseAddr("2001:db8:9::1")}
	c := NewCache(Config{})
	for i := range 10_000 {
		r := c.Update(now, Request{Key: key, CareOf: netip.MustParseAddr("2001:db8:1::10"), Sequence: uint16(i + 1), Lifetime: time.Minute})
		if !r.Status.Accepted() {
			t.Fatalf("update %d: %v", i, r.Status)
		}
	}
	if n := len(c.deadlines.items); n > 128 {
		t.Errorf("%d deadlines of one binding", n)
	}
	if events := c.Poll(now.Add(time.Hour)); len(events) != 1 || events[0].Kind != Expired {
		t.Errorf("Poll: %v", events)
	}
	if c.Len() != 0 {
		t.Errorf("%d entries left", c.Len())
	}

	l := NewUpdateList(0)
	target := Target{Home: key.Home, Peer: key.Local}
	for range 10_000 {
		if err := l.Begin(now, target, Params{Lifetime: time.Minute}); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(l.deadlines.items); n > 128 {
		t.Errorf("%d deadlines of one update", n)
	}
	if a := l.Poll(now); len(a) != 1 || a[0].Kind != Transmit {
		t.Errorf("Poll: %v", a)
	}
}

package mhsock

import (
	"net/netip"
	"testing"
	"time"
)

func TestLimiter(t *testing.T) {
	l := NewLimiter()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	allowed := func(to netip.Addr, tries int) (n int) {
		for range tries {
			if l.Allow(now, to) {
				n++
			}
		}
		return n
	}
	if n := allowed(addrA, 1000); n != limitPerDestination {
		t.Errorf("%d of 1000 allowed at once, want %d", n, limitPerDestination)
	}
	if n := allowed(addrB, 1); n != 0 {
		t.Errorf("another address of the same prefix has its own allowance")
	}
	now = now.Add(500 * time.Millisecond)
	if n := allowed(addrA, 1000); n != limitPerDestination/2 {
		t.Errorf("%d allowed half a second later, want %d", n, limitPerDestination/2)
	}
	now = now.Add(time.Hour)
	total := 0
	for i := range 4096 { // a stranger who has many prefixes
		a := addrA.As16()
		a[4], a[5] = byte(i>>8), byte(i)
		total += allowed(netip.AddrFrom16(a), limitPerDestination)
	}
	if total != limitOfAll {
		t.Errorf("%d allowed in all, want %d", total, limitOfAll)
	}
}

package ipsec

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"
)

func source(i int) netip.Addr {
	a := [16]byte{0x20, 0x01, 0x0d, 0xb8}
	binary.BigEndian.PutUint32(a[12:], uint32(i))
	return netip.AddrFrom16(a)
}

// Each source once per interval; a flood of them fills no memory, and makes room
// for others when its time is over.
func TestTold(t *testing.T) {
	told, now := told{}, time.Unix(1000, 0)
	for _, step := range []struct {
		after  time.Duration
		source netip.Addr
		want   bool
	}{
		{0, source(0), true}, {0, source(0), false}, {0, source(1), true},
		{tellEvery - 1, source(0), false}, {1, source(0), true}, {0, source(0), false},
	} {
		now = now.Add(step.after)
		if got := told.tell(now, step.source); got != step.want {
			t.Errorf("%v at %v: %v, want %v", step.source, now, got, step.want)
		}
	}
	for i := range 2 * maxTold {
		told.tell(now, source(i))
	}
	if len(told) > maxTold || told.tell(now, source(3*maxTold)) {
		t.Errorf("%d sources are remembered", len(told))
	}
	if now = now.Add(tellEvery); !told.tell(now, source(3*maxTold)) {
		t.Error("a flood a minute ago keeps others out of the log")
	}
}

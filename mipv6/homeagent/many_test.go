package homeagent

import (
	"encoding/binary"
	"net"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/mhsock"
)

// manyBindings is how many registrations a home agent must hold (issue 3).
const manyBindings = 100_000

// bytesEach bounds what one registration may cost the role: the binding, its
// deadlines, what is defended, and what the allocator rounds up.
const bytesEach = 2048

func numbered(base string, n int) netip.Addr {
	a := netip.MustParseAddr(base).As16()
	binary.BigEndian.PutUint32(a[12:], uint32(n)+1)
	return netip.AddrFrom16(a)
}

// crowd is a core with many registrations, all of them probed for a second each,
// as many at once as it allows.
func crowd(t *testing.T, n int) (*core, time.Time) {
	t.Helper()
	cfg := Config{Address: netip.MustParseAddr(agent), Prefix: netip.MustParsePrefix("2001:db8:9::/64"), Interface: "eth0", MaxBindings: n}.withDefaults()
	c := newCore(cfg, link{"eth0", net.HardwareAddr{2, 0, 0, 0, 0, 0xff}, netip.MustParseAddr("fe80::ff")}, ones{})
	now := start
	for i := 0; i < n; {
		for range maxPending {
			if i == n {
				break
			}
			if actions := register(t, c, now, i, 1); len(actions) == 0 {
				t.Fatalf("registration %d: no action", i)
			}
			i++
		}
		now = now.Add(retransTimer)
		c.poll(now)
	}
	return c, now
}

func register(t *testing.T, c *core, now time.Time, i int, sequence uint16) []action {
	t.Helper()
	p := &mipv6.Packet{Src: numbered("2001:db8:1::", i), Dst: c.cfg.Address, HomeAddress: numbered("2001:db8:9:0:1::", i)}
	if err := p.Carry(&mipv6.BindingUpdate{Sequence: sequence, Acknowledge: true, HomeRegistration: true, Lifetime: time.Hour}, nil); err != nil {
		t.Fatal(err)
	}
	actions, _ := c.message(now, mhsock.Received{Src: p.HomeAddress, Dst: p.Dst, CareOf: p.Src, Message: p.Payload})
	return actions
}

// 100,000 registrations: all held, each refreshed and found, in bounded memory;
// one more is refused; at their end nothing is left.
func TestManyBindings(t *testing.T) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	c, now := crowd(t, manyBindings)
	runtime.GC()
	runtime.ReadMemStats(&after)
	each := (int64(after.HeapAlloc) - int64(before.HeapAlloc)) / manyBindings
	t.Logf("%d bytes each", each)
	if each > bytesEach {
		t.Errorf("%d bytes each, at most %d", each, bytesEach)
	}
	if n := c.cache.Len(); n != manyBindings {
		t.Fatalf("%d registrations, want %d", n, manyBindings)
	}
	if got := c.counters[CounterAccepted]; got != manyBindings {
		t.Errorf("%d accepted", got)
	}
	// Refreshes need no detection and are answered at once.
	for _, i := range []int{0, manyBindings / 2, manyBindings - 1} {
		actions := register(t, c, now, i, 2)
		if len(actions) != 2 || actions[0].kind != actSetTunnel || actions[1].kind != actSend {
			t.Errorf("refresh of %d: %+v", i, actions)
		}
	}
	if register(t, c, now, manyBindings, 1); c.cache.Len() != manyBindings || len(c.pending) != 0 {
		t.Errorf("one more than there is room for was taken: %d registrations, %d pending", c.cache.Len(), len(c.pending))
	}
	for next, ok := c.next(); ok; next, ok = c.next() {
		now = next
		c.poll(now)
	}
	if c.cache.Len()+len(c.defences)+len(c.adverts)+len(c.pending) != 0 {
		t.Errorf("left: %d registrations, %d defences, %d advertisements, %d pending", c.cache.Len(), len(c.defences), len(c.adverts), len(c.pending))
	}
}

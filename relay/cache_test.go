package relay

import (
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/vanycast/vanycast/mipv6"
)

var (
	contactAddr = netip.MustParseAddr("2001:db8:9::1")
	glass       = netip.MustParseAddr("2001:db8:1::10")
	reich       = netip.MustParseAddr("2001:db8:2::10")
	adams       = netip.MustParseAddr("2001:db8:3::10")
	legacy      = netip.MustParseAddr("2001:db8:c::8")
	epoch       = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
)

func connOf(port uint16) Conn {
	return Conn{netip.AddrPortFrom(contactAddr, 4000), netip.AddrPortFrom(legacy, port)}
}

// The register: what RFC 6275 §9.5.1 says of sequence numbers, and that an owner
// may use its own again.
func TestCacheSequence(t *testing.T) {
	const life = 60 * time.Second
	for _, tc := range []struct {
		name string
		have uint16
		req  Request
		want mipv6.Status
	}{
		{"next, another", 7, Request{Owner: reich, Sequence: 8, Lifetime: life}, mipv6.StatusAccepted},
		{"same, another", 7, Request{Owner: reich, Sequence: 7, Lifetime: life}, mipv6.StatusSequenceOutOfWindow},
		{"same, its own", 7, Request{Owner: glass, Sequence: 7, Lifetime: life}, mipv6.StatusAccepted},
		{"older, its own", 7, Request{Owner: glass, Sequence: 6, Lifetime: life}, mipv6.StatusSequenceOutOfWindow},
		{"32767 ahead", 7, Request{Owner: reich, Sequence: 7 + 32767, Lifetime: life}, mipv6.StatusAccepted},
		{"32768 ahead", 7, Request{Owner: reich, Sequence: 7 + 32768, Lifetime: life}, mipv6.StatusSequenceOutOfWindow},
		{"around zero", 0xffff, Request{Owner: reich, Sequence: 0, Lifetime: life}, mipv6.StatusAccepted},
		{"the end, another's number", 7, Request{Owner: reich, Sequence: 7}, mipv6.StatusSequenceOutOfWindow},
		{"the end, its own", 7, Request{Owner: glass, Sequence: 7}, mipv6.StatusAccepted},
	} {
		c := NewCache(10)
		first := Request{Conn: connOf(1), Owner: glass, Sequence: tc.have, Lifetime: life}
		if res := c.Update(epoch, first); res.Status != mipv6.StatusAccepted || res.Lifetime != life {
			t.Fatalf("%s: first: %+v", tc.name, res)
		}
		tc.req.Conn = connOf(1)
		res := c.Update(epoch.Add(time.Second), tc.req)
		if res.Status != tc.want {
			t.Errorf("%s: %v", tc.name, res.Status)
		}
		e, ok := c.Lookup(epoch.Add(time.Second), connOf(1))
		switch {
		case tc.want != mipv6.StatusAccepted:
			if res.Last != tc.have || e.Owner != glass || e.Sequence != tc.have {
				t.Errorf("%s: told %d, then %+v", tc.name, res.Last, e)
			}
		case tc.req.Lifetime == 0:
			if ok {
				t.Errorf("%s: still %+v", tc.name, e)
			}
		case e.Owner != tc.req.Owner || e.Sequence != tc.req.Sequence:
			t.Errorf("%s: then %+v", tc.name, e)
		}
	}
}

func TestCacheLapses(t *testing.T) {
	c := NewCache(10)
	c.Update(epoch, Request{Conn: connOf(1), Owner: glass, Sequence: 7, Lifetime: 60 * time.Second})
	c.Update(epoch, Request{Conn: connOf(2), Owner: glass, Sequence: 7, Lifetime: time.Hour})
	if res := c.Update(epoch, Request{Conn: connOf(2), Owner: glass, Sequence: 8, Lifetime: time.Hour}); res.Lifetime != maxLifetime {
		t.Errorf("granted %v", res.Lifetime)
	}
	now := epoch.Add(60 * time.Second)
	if _, ok := c.Lookup(now, connOf(1)); ok {
		t.Error("found after its end")
	}
	// A register that forgot takes any number.
	if res := c.Check(now, Request{Conn: connOf(1), Owner: reich, Sequence: 3, Lifetime: time.Second}); res.Status != mipv6.StatusAccepted {
		t.Errorf("after its end: %v", res.Status)
	}
	if gone := c.Poll(now); len(gone) != 1 || gone[0].Conn != connOf(1) {
		t.Errorf("gone %+v", gone)
	}
	if c.Len() != 1 {
		t.Errorf("%d left", c.Len())
	}
}

// Neither all together nor one owner get more than their share.
func TestCacheBounds(t *testing.T) {
	c := NewCache(4)
	update := func(port uint16, owner netip.Addr) mipv6.Status {
		return c.Update(epoch, Request{Conn: connOf(port), Owner: owner, Sequence: 7, Lifetime: time.Minute}).Status
	}
	for port, want := range []mipv6.Status{mipv6.StatusAccepted, mipv6.StatusAccepted, mipv6.StatusInsufficientResources} {
		if got := update(uint16(1+port), glass); got != want {
			t.Errorf("entry %d of one owner: %v", port+1, got)
		}
	}
	if update(4, reich) != mipv6.StatusAccepted || update(5, adams) != mipv6.StatusAccepted {
		t.Error("another owner finds no room")
	}
	if got := update(6, adams); got != mipv6.StatusInsufficientResources {
		t.Errorf("one too many: %v", got)
	}
	if got := update(1, glass); got != mipv6.StatusAccepted {
		t.Errorf("renewal when full: %v", got)
	}
}

// Whatever is asked in whatever order: a connection's owner changes only by a
// number that nobody used before, and the counts are right.
func TestCacheOneOwner(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, now := NewCache(8), epoch
		used := map[Conn]map[uint16]netip.Addr{}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			r := Request{
				Conn:     connOf(uint16(rapid.IntRange(1, 3).Draw(t, "port"))),
				Owner:    rapid.SampledFrom([]netip.Addr{glass, reich, adams}).Draw(t, "owner"),
				Sequence: uint16(rapid.IntRange(0, 12).Draw(t, "sequence")), Lifetime: time.Minute,
			}
			before, had := c.Lookup(now, r.Conn)
			res := c.Update(now, r)
			after, has := c.Lookup(now, r.Conn)
			if res.Status != mipv6.StatusAccepted {
				if had != has || before != after {
					t.Fatalf("refused, but %+v became %+v", before, after)
				}
				continue
			}
			if used[r.Conn] == nil {
				used[r.Conn] = map[uint16]netip.Addr{}
			}
			if other, ok := used[r.Conn][r.Sequence]; ok && other != r.Owner {
				t.Fatalf("number %d was %v's and is %v's now", r.Sequence, other, r.Owner)
			}
			used[r.Conn][r.Sequence] = r.Owner
			if after.Owner != r.Owner {
				t.Fatalf("accepted, but %+v", after)
			}
		}
		if got := c.Of(contactAddr, legacy); len(got) != c.Len() {
			t.Fatalf("%d entries, of the client %v", c.Len(), got)
		}
		sum := 0
		for _, n := range c.owned {
			sum += n
		}
		if sum != c.Len() {
			t.Fatalf("%d entries are counted as %d", c.Len(), sum)
		}
	})
}

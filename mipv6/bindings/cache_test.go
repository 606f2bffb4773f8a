package bindings

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/vanycast/vanycast/mipv6"
)

var (
	contact = netip.MustParseAddr("2001:db8:9::1")
	client  = netip.MustParseAddr("2001:db8:c::7")
	glass   = netip.MustParseAddr("2001:db8:1::10")
	reich   = netip.MustParseAddr("2001:db8:2::10")
	key     = Key{Local: client, Home: contact}
	start   = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

	compareAddr = cmpopts.EquateComparable(netip.Addr{})
)

func at(d time.Duration) time.Time { return start.Add(d) }

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }

func bindRequest(seq uint16, careOf netip.Addr) Request {
	return Request{Key: key, CareOf: careOf, Sequence: seq, Lifetime: seconds(420), Nonces: &mipv6.NonceIndices{Home: 5, CareOf: 5}}
}

// step is one request to a cache and what must come of it.
type step struct {
	at       time.Duration
	req      Request
	status   mipv6.Status
	sequence uint16
	lifetime time.Duration
	change   ChangeKind
}

func with(r Request, f func(*Request)) Request {
	f(&r)
	return r
}

func TestCacheUpdate(t *testing.T) {
	homeReg := func(r *Request) { r.HomeRegistration, r.Nonces = true, nil }
	remove := func(r *Request) { r.Lifetime = 0 }
	newer := func(r *Request) { r.Nonces = &mipv6.NonceIndices{Home: 6, CareOf: 6} }
	const accepted, window = mipv6.StatusAccepted, mipv6.StatusSequenceOutOfWindow
	for _, tc := range []struct {
		name  string
		steps []step
	}{
		{"any number is accepted without an entry §9.5.1", []step{
			{0, bindRequest(65000, glass), accepted, 65000, seconds(420), Created},
		}},
		{"a number must be greater, modulo 2^16 §9.5.1", []step{
			{0, bindRequest(65535, glass), accepted, 65535, seconds(420), Created},
			{1, bindRequest(65535, reich), window, 65535, 0, Unchanged},
			{2, bindRequest(65534, reich), window, 65535, 0, Unchanged},
			{3, bindRequest(3, reich), accepted, 3, seconds(420), Moved},
			{4, bindRequest(4, reich), accepted, 4, seconds(420), Refreshed},
		}},
		{"lifetimes are capped and in units of 4 s §5.2.6", []step{
			{0, with(bindRequest(1, glass), func(r *Request) { r.Lifetime = time.Hour }), accepted, 1, seconds(420), Created},
			{0, with(bindRequest(2, glass), func(r *Request) { r.Lifetime = seconds(11) }), accepted, 2, seconds(8), Refreshed},
			{0, with(with(bindRequest(3, glass), homeReg), func(r *Request) { r.Home = reich; r.Lifetime = time.Hour }), accepted, 3, seconds(600), Created},
		}},
		{"registration type may not change §9.5.1", []step{
			{0, bindRequest(1, glass), accepted, 1, seconds(420), Created},
			{1, with(bindRequest(2, glass), homeReg), mipv6.StatusRegistrationTypeChange, 2, 0, Unchanged},
		}},
		{"deletion by lifetime zero §9.5.3", []step{
			{0, bindRequest(1, glass), accepted, 1, seconds(420), Created},
			{1, with(bindRequest(2, glass), remove), accepted, 2, 0, Removed},
			{2, with(bindRequest(3, glass), remove), accepted, 3, 0, Unchanged},
		}},
		{"deletion by home address as care-of address §9.5.1", []step{
			{0, bindRequest(1, glass), accepted, 1, seconds(420), Created},
			{1, bindRequest(2, contact), accepted, 2, 0, Removed},
		}},
		{"a home agent does not know whom it deletes §10.3.2", []step{
			{0, with(with(bindRequest(1, glass), homeReg), remove), mipv6.StatusNotHomeAgent, 1, 0, Unchanged},
		}},
		{"an old update does not bring a deleted binding back §9.5.3", []step{
			{0, bindRequest(10, glass), accepted, 10, seconds(420), Created},
			{seconds(1), with(bindRequest(11, glass), remove), accepted, 11, 0, Removed},
			{seconds(2), bindRequest(10, glass), window, 11, 0, Unchanged},
			{seconds(3), bindRequest(12, glass), accepted, 12, seconds(420), Created},
		}},
		{"a newer nonce is not a replay §9.5.1", []step{
			{0, bindRequest(10, glass), accepted, 10, seconds(420), Created},
			{seconds(1), with(bindRequest(11, glass), remove), accepted, 11, 0, Removed},
			{seconds(2), with(bindRequest(3, glass), newer), accepted, 3, seconds(420), Created},
		}},
		{"the oldest of several nonces is remembered too §9.5.3", []step{
			{0, bindRequest(10, glass), accepted, 10, seconds(420), Created},
			{seconds(1), with(bindRequest(11, reich), newer), accepted, 11, seconds(420), Moved},
			{seconds(2), with(with(bindRequest(12, reich), newer), remove), accepted, 12, 0, Removed},
			{seconds(3), bindRequest(10, glass), window, 12, 0, Unchanged},
		}},
		{"after MAX_NONCE_LIFETIME nothing is remembered §9.5.3", []step{
			{0, bindRequest(10, glass), accepted, 10, seconds(420), Created},
			{seconds(1), with(bindRequest(11, glass), remove), accepted, 11, 0, Removed},
			{seconds(1) + mipv6.MaxNonceLifetime, bindRequest(10, glass), accepted, 10, seconds(420), Created},
		}},
		{"an expired binding is no binding, polled or not", []step{
			{0, bindRequest(10, glass), accepted, 10, seconds(420), Created},
			{seconds(420), bindRequest(1, glass), accepted, 1, seconds(420), Created},
		}},
		{"an expired binding's updates are no use either §9.5.3", []step{
			{0, with(bindRequest(10, glass), func(r *Request) { r.Lifetime = seconds(4) }), accepted, 10, seconds(4), Created},
			{seconds(5), bindRequest(10, glass), window, 10, 0, Unchanged},
			{mipv6.MaxNonceLifetime, bindRequest(10, glass), accepted, 10, seconds(420), Created},
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := NewCache(Config{MaxLifetime: seconds(600)})
			for i, s := range tc.steps {
				status, isNew := c.Check(at(s.at), s.req)
				got := c.Update(at(s.at), s.req)
				if status != got.Status || isNew != (got.Change.Kind == Created) {
					t.Errorf("step %d: Check says %v, new %v", i, status, isNew)
				}
				if got.Status != s.status || got.Sequence != s.sequence || got.Lifetime != s.lifetime || got.Change.Kind != s.change {
					t.Errorf("step %d: %v, number %d, lifetime %v, %v; want %v, %d, %v, %v", i,
						got.Status, got.Sequence, got.Lifetime, got.Change.Kind, s.status, s.sequence, s.lifetime, s.change)
				}
			}
		})
	}
}

func TestCacheMoveTellsPrevious(t *testing.T) {
	c := NewCache(Config{})
	c.Update(start, bindRequest(1, glass))
	got := c.Update(at(seconds(10)), bindRequest(2, reich)).Change
	want := Change{Kind: Moved, Previous: glass, Binding: Binding{
		Key: key, CareOf: reich, Sequence: 2, Lifetime: seconds(420), Expires: at(seconds(430)),
	}}
	if diff := cmp.Diff(want, got, compareAddr); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if b, ok := c.Lookup(at(seconds(429)), key); !ok || b.CareOf != reich {
		t.Errorf("lookup: %v %v", b, ok)
	}
	if _, ok := c.Lookup(at(seconds(430)), key); ok {
		t.Error("found after its end")
	}
}

func stranger(prefix, n int) Key {
	a := contact.As16()
	binary.BigEndian.PutUint16(a[6:], uint16(prefix))
	binary.BigEndian.PutUint32(a[12:], uint32(n))
	return Key{Local: client, Home: netip.AddrFrom16(a)}
}

func TestCacheBounds(t *testing.T) {
	c := NewCache(Config{Limit: 5, PerPrefix: 3})
	ask := func(prefix, n int, lifetime time.Duration, seq uint16) mipv6.Status {
		r := bindRequest(seq, glass)
		r.Key, r.Lifetime = stranger(prefix, n), lifetime
		return c.Update(start, r).Status
	}
	for n := range 3 {
		if s := ask(1, n, seconds(420), 1); s != mipv6.StatusAccepted {
			t.Fatal(s)
		}
	}
	if s := ask(1, 3, seconds(420), 1); s != mipv6.StatusInsufficientResources {
		t.Errorf("beyond the prefix's bound: %v", s)
	}
	if s := ask(1, 2, 0, 2); s != mipv6.StatusAccepted {
		t.Errorf("deletion at the bound: %v", s)
	}
	if s := ask(1, 3, seconds(420), 1); s != mipv6.StatusInsufficientResources {
		t.Errorf("what guards against replays must count: %v", s)
	}
	ask(2, 0, seconds(420), 1)
	ask(2, 1, seconds(420), 1)
	if s := ask(3, 0, seconds(420), 1); s != mipv6.StatusInsufficientResources {
		t.Errorf("beyond the whole bound: %v", s)
	}
	if s := ask(2, 1, seconds(420), 2); s != mipv6.StatusAccepted {
		t.Errorf("refresh at the bound: %v", s)
	}
	c.Poll(at(mipv6.MaxNonceLifetime))
	if c.Len() != 4 {
		t.Errorf("%d entries once the nonces are too old", c.Len())
	}
	c.Poll(at(seconds(420)))
	if c.Len() != 0 || len(c.prefixes) != 0 {
		t.Errorf("%d entries and %d prefixes left over", c.Len(), len(c.prefixes))
	}
}

func TestCachePoll(t *testing.T) {
	used := true
	c := NewCache(Config{InUse: func(Key) bool { return used }})
	c.Update(start, bindRequest(1, glass))
	home := with(bindRequest(1, glass), func(r *Request) {
		r.Home, r.HomeRegistration, r.Nonces, r.Lifetime = reich, true, nil, seconds(400)
	})
	c.Update(start, home)
	type event struct {
		at   time.Duration
		kind EventKind
		home netip.Addr
	}
	var got []event
	for {
		next, ok := c.Next()
		if !ok {
			break
		}
		if early := c.Poll(next.Add(-1)); len(early) != 0 {
			t.Fatalf("%v before its time", early)
		}
		for _, e := range c.Poll(next) {
			got = append(got, event{next.Sub(start), e.Kind, e.Binding.Home})
		}
	}
	want := []event{
		{seconds(390), RefreshRequest, contact}, {seconds(400), Expired, reich},
		{seconds(405), RefreshRequest, contact}, {seconds(420), Expired, contact},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(event{}), compareAddr); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	used = false
	c.Update(at(seconds(2000)), bindRequest(2, glass))
	if e := c.Poll(at(seconds(2419))); len(e) != 0 {
		t.Errorf("asked to refresh what is not used: %v", e)
	}
	if b, ok := c.Remove(at(seconds(2419)), key); !ok || b.CareOf != glass {
		t.Error("not removed")
	}
	if got := c.Bindings(); len(got) != 0 {
		t.Errorf("bindings %v", got)
	}
}

// Whatever is asked: no more entries than allowed, no binding of a home address
// goes back in its numbers, deadlines stay in proportion, and all is gone at
// last.
func TestCacheProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := NewCache(Config{Limit: 6, PerPrefix: 4})
		now := start
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 100).Draw(t, "dt")) * time.Second)
			r := bindRequest(rapid.Uint16Range(0, 20).Draw(t, "seq"), glass)
			r.Key = stranger(rapid.IntRange(0, 1).Draw(t, "prefix"), rapid.IntRange(0, 4).Draw(t, "n"))
			r.Lifetime = seconds(4 * rapid.IntRange(0, 110).Draw(t, "lifetime"))
			before, had := c.Lookup(now, r.Key)
			res := c.Update(now, r)
			after, has := c.Lookup(now, r.Key)
			if had && has && After(before.Sequence, after.Sequence) {
				t.Fatalf("number went from %d to %d", before.Sequence, after.Sequence)
			}
			if res.Status.Accepted() && !r.Deletes() && (!has || after.Sequence != r.Sequence) {
				t.Fatalf("accepted, but %+v", after)
			}
			if c.Len() > 6 || len(c.deadlines.items) > 2*6+65 {
				t.Fatalf("%d entries, %d deadlines", c.Len(), len(c.deadlines.items))
			}
		}
		c.Poll(now.Add(seconds(421)))
		if c.Len() != 0 || len(c.prefixes) != 0 {
			t.Fatalf("%d entries left", c.Len())
		}
	})
}

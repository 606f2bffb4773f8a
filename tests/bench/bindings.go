package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"runtime"
	"time"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/bindings"
	"github.com/vanycast/vanycast/mipv6/rr"
	"github.com/vanycast/vanycast/tests/lab"
)

// cacheSizes are the sizes of issue 3's table.
var cacheSizes = []int{1_000, 10_000, 100_000, 1_000_000}

// cacheRounds is how often each timing is taken; the median counts.
const cacheRounds = 3

// measureBindings measures the binding cache at several sizes against a plain
// Go map of the same keys and values, which knows nothing of sequence numbers,
// lifetimes and expiry; and Binding Updates with their authenticators against
// the two SHA-1 sums and the HMAC that each needs.
func measureBindings(_ context.Context, _ lab.TB, b *bench) error {
	for _, n := range cacheSizes {
		measureCache(b, n)
	}
	return measureAuthenticated(b)
}

func numbered(base netip.Addr, n int) netip.Addr {
	a := base.As16()
	binary.BigEndian.PutUint32(a[4:], uint32(n)) // another /64 each: strangers share no limit
	return netip.AddrFrom16(a)
}

var (
	cacheLocal  = netip.MustParseAddr("2001:db8:a::10")
	cacheHome   = netip.MustParseAddr("2001:db8::1")
	cacheCareOf = netip.MustParseAddr("2001:db9::10")
)

func cacheRequest(n int, sequence uint16) bindings.Request {
	return bindings.Request{
		Key:    bindings.Key{Local: cacheLocal, Home: numbered(cacheHome, n)},
		CareOf: numbered(cacheCareOf, n), Sequence: sequence, Lifetime: 420 * time.Second,
		Nonces: &mipv6.NonceIndices{Home: 1, CareOf: 1},
	}
}

func measureCache(b *bench, n int) {
	requests := make([]bindings.Request, n)
	for i := range requests {
		requests[i] = cacheRequest(i, 1)
	}
	now := time.Now()
	var cache *bindings.Cache
	size := heapOf(func() {
		cache = bindings.NewCache(bindings.Config{Limit: n})
		for _, r := range requests {
			cache.Update(now, r)
		}
	})
	var plain map[bindings.Key]*bindings.Binding
	plainSize := heapOf(func() {
		plain = make(map[bindings.Key]*bindings.Binding)
		for _, r := range requests {
			plain[r.Key] = &bindings.Binding{Key: r.Key, CareOf: r.CareOf}
		}
	})
	name := fmt.Sprintf("binding_cache_%d_", n)
	b.results.add(name+"bytes_each", size/float64(n), "bytes", plainSize/float64(n))

	var update, lookup, plainUpdate, plainLookup []float64
	each := func(f func(i int)) float64 {
		// The order of a stride that has no factor in common with n: neighbours in
		// memory are not visited one after another.
		const stride = 7919
		started := time.Now()
		for i := range n {
			f(i * stride % n)
		}
		return float64(time.Since(started).Nanoseconds()) / float64(n)
	}
	for round := range cacheRounds {
		sequence := uint16(round + 2)
		update = append(update, each(func(i int) { r := requests[i]; r.Sequence = sequence; cache.Update(now, r) }))
		lookup = append(lookup, each(func(i int) { cache.Lookup(now, requests[i].Key) }))
		plainUpdate = append(plainUpdate, each(func(i int) { v := plain[requests[i].Key]; v.Sequence, v.Expires = sequence, now }))
		plainLookup = append(plainLookup, each(func(i int) { sink += plain[requests[i].Key].Sequence }))
	}
	b.results.add(name+"update", median(update), "ns", median(plainUpdate))
	b.results.add(name+"lookup", median(lookup), "ns", median(plainLookup))
	runtime.KeepAlive(cache)
	runtime.KeepAlive(plain)
}

// sink keeps the compiler from leaving out what is measured.
var sink uint16

// heapOf is how much of the heap f leaves in use.
func heapOf(f func()) float64 {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	f()
	runtime.GC()
	runtime.ReadMemStats(&after)
	return float64(after.HeapAlloc) - float64(before.HeapAlloc)
}

// authenticated is a Binding Update as a correspondent receives it.
type authenticated struct {
	raw    []byte
	update rr.Update
}

const authenticatedUpdates = 2000

// measureAuthenticated counts Binding Updates that a correspondent takes in a
// second on one thread: parsed, the tokens and the key made anew, the
// authenticator verified, the cache updated, the acknowledgement authenticated.
func measureAuthenticated(b *bench) error {
	responder, err := rr.NewResponder(rr.ResponderConfig{})
	if err != nil {
		return err
	}
	now := time.Now()
	updates := make([]authenticated, authenticatedUpdates)
	for i := range updates {
		if updates[i], err = authorise(responder, now, i); err != nil {
			return err
		}
	}
	cache := bindings.NewCache(bindings.Config{Limit: authenticatedUpdates})
	var rates, bare []float64
	for range cacheRounds {
		started := time.Now()
		for i, u := range updates {
			m, err := mipv6.Parse(u.raw)
			if err != nil {
				return err
			}
			u.update.Message = m.(*mipv6.BindingUpdate)
			authority, err := responder.Verify(now, u.update)
			if err != nil {
				return fmt.Errorf("update %d: %w", i, err)
			}
			nonces, _ := mipv6.FindOption[*mipv6.NonceIndices](u.update.Message)
			result := cache.Update(now, bindings.Request{
				Key:    bindings.Key{Local: u.update.Correspondent, Home: u.update.Home},
				CareOf: u.update.Source, Sequence: u.update.Message.Sequence, Lifetime: u.update.Message.Lifetime, Nonces: nonces,
			})
			ack := &mipv6.BindingAcknowledgement{Status: result.Status, Sequence: result.Sequence, Lifetime: result.Lifetime}
			if _, err := mipv6.MarshalAuthenticated(ack, u.update.Correspondent, u.update.Home, authority.Authenticate); err != nil {
				return err
			}
		}
		rates = append(rates, authenticatedUpdates/time.Since(started).Seconds())
		bare = append(bare, bareAuthentications(updates))
	}
	b.results.add("binding_updates_authenticated", median(rates), "1/s", median(bare))
	return nil
}

// bareAuthentications is the rate of the reference: one key of two tokens and two
// authenticators, and nothing else.
func bareAuthentications(updates []authenticated) float64 {
	started := time.Now()
	for i, u := range updates {
		key := rr.Kbm(mipv6.KeygenToken{byte(i)}, mipv6.KeygenToken{byte(i >> 8)})
		for range 2 {
			a := rr.Authenticate(key, u.update.Source, u.update.Correspondent, u.raw)
			sink += uint16(a[0])
		}
	}
	return float64(len(updates)) / time.Since(started).Seconds()
}

// authorise does a mobile node's return routability with the responder and makes
// a Binding Update of it.
func authorise(responder *rr.Responder, now time.Time, i int) (u authenticated, err error) {
	home, careOf := numbered(cacheHome, i), numbered(cacheCareOf, i)
	// A moment of its own for each: the responder limits its rate, and many
	// links share a limit.
	at := now.Add(time.Duration(i-authenticatedUpdates) * 20 * time.Millisecond)
	hot, err := responder.HomeTest(at, home, &mipv6.HomeTestInit{})
	if err != nil {
		return u, err
	}
	cot, err := responder.CareOfTest(at, careOf, &mipv6.CareOfTestInit{})
	if err != nil {
		return u, err
	}
	key := rr.Kbm(hot.Token, cot.Token)
	m := &mipv6.BindingUpdate{Sequence: 1, Acknowledge: true, Lifetime: 420 * time.Second,
		Options: []mipv6.Option{&mipv6.NonceIndices{Home: hot.NonceIndex, CareOf: cot.NonceIndex}}}
	mac := func(d []byte) mipv6.Authenticator { return rr.Authenticate(key, careOf, cacheLocal, d) }
	raw, err := mipv6.MarshalAuthenticated(m, home, cacheLocal, mac)
	return authenticated{raw: raw, update: rr.Update{Raw: raw, Home: home, Source: careOf, Correspondent: cacheLocal}}, err
}

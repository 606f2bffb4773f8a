package ipsec_test

import (
	"crypto/rand"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"testing"

	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/mipv6/esp"
	"github.com/vanycast/vanycast/mipv6/ipsec"
)

var pair = ipsec.Pair{
	Home: netip.MustParseAddr("2001:db8:9::1"), CareOf: netip.MustParseAddr("2001:db8:1::10"),
	HomeAgent: netip.MustParseAddr("2001:db8:9::ff"),
}

// memory is a Store that keeps what it was told, and can fail.
type memory struct {
	generations []ipsec.Generation
	numbers     ipsec.Numbers
	fails       bool
	saves       int // of numbers
}

var errStore = errors.New("disk full")

func (m *memory) SaveKeys(g []ipsec.Generation) error {
	if m.fails {
		return errStore
	}
	m.generations = slices.Clone(g)
	return nil
}

func (m *memory) SaveNumbers(_ []ipsec.Generation, n ipsec.Numbers) error {
	if m.fails {
		return errStore
	}
	m.numbers = maps.Clone(n)
	m.saves++
	return nil
}

func generate(t testing.TB, number uint32, a esp.Algorithm) ipsec.Generation {
	t.Helper()
	g, err := ipsec.Generate(number, a, rand.Reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// newEndpoint makes one end of pair with these generations and what the store
// remembers.
func newEndpoint(t testing.TB, side ipsec.Side, m *memory, g ...ipsec.Generation) *ipsec.Endpoint {
	t.Helper()
	e, err := ipsec.New(ipsec.Config{Pairs: []ipsec.PairConfig{{Pair: pair, Side: side, Generations: g, Numbers: m.numbers, Store: m}}})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// nopPlane moves nothing.
type nopPlane struct{ dataplane.Plane }

func (nopPlane) RemoveTunnel(netip.Addr) error { return nil }

package ipsec

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/esp"
)

// Pair is two hosts that share keys, for one contact address.
type Pair struct {
	Home      netip.Addr // the contact address
	CareOf    netip.Addr // the replica's
	HomeAgent netip.Addr
}

// String is "contact address, replica and home agent".
func (p Pair) String() string {
	return fmt.Sprintf("%v at %v with %v", p.Home, p.CareOf, p.HomeAgent)
}

// Check reports addresses that no pair can have.
func (p Pair) Check() error {
	for _, a := range []netip.Addr{p.Home, p.CareOf, p.HomeAgent} {
		if !mipv6.IsUnicastRoutable(a) {
			return fmt.Errorf("ipsec: pair %v: %v is not a unicast routable IPv6 address", p, a)
		}
	}
	if p.Home == p.CareOf || p.Home == p.HomeAgent || p.CareOf == p.HomeAgent {
		return fmt.Errorf("ipsec: pair %v: two of the addresses are the same", p)
	}
	return nil
}

// Purpose is what a security association is for: one direction of one mode.
type Purpose uint8

const (
	// Update: transport mode, Binding Updates to the home agent.
	Update Purpose = iota
	// Acknowledgement: transport mode, Binding Acknowledgements to the replica.
	Acknowledgement
	// TestInit: tunnel mode to the home agent, Mobility Headers to clients.
	TestInit
	// Test: tunnel mode to the replica, Mobility Headers from clients.
	Test

	purposes
)

// String is the name in key files.
func (p Purpose) String() string {
	if p < purposes {
		return [...]string{"bu", "ba", "hoti", "hot"}[p]
	}
	return fmt.Sprintf("Purpose(%d)", uint8(p))
}

// Purposes are all, in their order.
func Purposes() []Purpose { return []Purpose{Update, Acknowledgement, TestInit, Test} }

// Association is what both ends know of one security association.
type Association struct {
	SPI uint32
	Key esp.Key
}

// Generation is one set of keys of a pair: an association for each Purpose.
type Generation struct {
	Number       uint32 // later ones have higher numbers; from 1
	Algorithm    esp.Algorithm
	Associations [purposes]Association
}

// ErrGeneration: a set of keys that cannot be used.
var ErrGeneration = errors.New("ipsec: keys cannot be used")

// Check reports what is wrong with the generation, without a word of its keys.
func (g Generation) Check() error {
	if g.Number == 0 {
		return fmt.Errorf("%w: generation 0: they count from 1", ErrGeneration)
	}
	seen := map[uint32]Purpose{}
	for _, p := range Purposes() {
		a := g.Associations[p]
		if err := errors.Join(esp.CheckSPI(a.SPI), g.Algorithm.Check(a.Key)); err != nil {
			return fmt.Errorf("%w: generation %d, %v: %w", ErrGeneration, g.Number, p, err)
		}
		if other, twice := seen[a.SPI]; twice {
			return fmt.Errorf("%w: generation %d: %v and %v have the same SPI %#x", ErrGeneration, g.Number, other, p, a.SPI)
		}
		seen[a.SPI] = p
		for _, q := range Purposes()[:p] {
			if g.Associations[q].Key.Equal(a.Key) {
				return fmt.Errorf("%w: generation %d: %v and %v have the same key", ErrGeneration, g.Number, q, p)
			}
		}
	}
	return nil
}

// lowestMade keeps the SPIs that are made apart from those that people choose.
const lowestMade = 1 << 16

// Generate makes a generation with fresh keys and SPIs, none of which taken says
// are in use.
func Generate(number uint32, a esp.Algorithm, random io.Reader, taken func(spi uint32) bool) (Generation, error) {
	g := Generation{Number: number, Algorithm: a}
	made := map[uint32]bool{}
	for _, p := range Purposes() {
		key, err := esp.GenerateKey(a, random)
		if err != nil {
			return Generation{}, fmt.Errorf("ipsec: %w", err)
		}
		var b [4]byte
		spi := uint32(0)
		for spi < lowestMade || made[spi] || taken != nil && taken(spi) {
			if _, err := io.ReadFull(random, b[:]); err != nil {
				return Generation{}, fmt.Errorf("ipsec: random number: %w", err)
			}
			spi = binary.BigEndian.Uint32(b[:])
		}
		made[spi] = true
		g.Associations[p] = Association{spi, key}
	}
	return g, g.Check()
}

package framework

import (
	"errors"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestNewPolicyUnknown(t *testing.T) {
	if p, err := NewPolicy("best"); !errors.Is(err, ErrUnknownPolicy) {
		t.Errorf("NewPolicy: %v, %v", p, err)
	}
}

func TestLocalPolicy(t *testing.T) {
	p, err := NewPolicy(PolicyLocal)
	if err != nil {
		t.Fatal(err)
	}
	v := View{Self: hosts["glass"], Replicas: []netip.Addr{hosts["reich"]}}
	if a, ok := p.Select(v, nil); !ok || a != v.Self {
		t.Errorf("Select: %v, %t", a, ok)
	}
	if a, ok := p.Select(v, map[netip.Addr]bool{v.Self: true}); ok {
		t.Errorf("Select without self: %v", a)
	}
}

// TestRandomPolicy checks the rules for whatever view: never an excluded one,
// itself only if it may or must, none only if there is none.
func TestRandomPolicy(t *testing.T) {
	p, err := NewPolicy(PolicyRandom)
	if err != nil {
		t.Fatal(err)
	}
	all := []netip.Addr{hosts["glass"], hosts["reich"], hosts["adams"], hosts["stranger"]}
	subset := func(t *rapid.T, label string) []netip.Addr {
		var out []netip.Addr
		for _, a := range all {
			if rapid.Bool().Draw(t, label) {
				out = append(out, a)
			}
		}
		return out
	}
	rapid.Check(t, func(t *rapid.T) {
		v := View{
			Self: all[0], Replicas: subset(t, "available"),
			Listening: rapid.Bool().Draw(t, "listening"), NeverSelf: rapid.Bool().Draw(t, "never self"),
		}
		exclude := make(map[netip.Addr]bool)
		for _, a := range subset(t, "excluded") {
			exclude[a] = true
		}
		others := 0
		for _, a := range v.Replicas {
			if a != v.Self && !exclude[a] {
				others++
			}
		}
		a, ok := p.Select(v, exclude)
		switch {
		case !ok:
			if others > 0 || !exclude[v.Self] {
				t.Fatalf("no target, though %d others, self excluded %t", others, exclude[v.Self])
			}
		case exclude[a]:
			t.Fatalf("excluded %v selected", a)
		case a == v.Self:
			if others > 0 && (v.NeverSelf || !v.Listening) {
				t.Fatal("itself selected though there are others")
			}
		case !slices.Contains(v.Replicas, a):
			t.Fatalf("%v selected, which is not available", a)
		}
	})
}

// TestRandomPolicyShares: all get about the same. The bounds are eight standard
// deviations away.
func TestRandomPolicyShares(t *testing.T) {
	p, err := NewPolicy(PolicyRandom)
	if err != nil {
		t.Fatal(err)
	}
	v := View{Self: hosts["glass"], Replicas: []netip.Addr{hosts["reich"], hosts["adams"]}, Listening: true}
	const n = 9000
	got := make(map[netip.Addr]int)
	for range n {
		a, _ := p.Select(v, nil)
		got[a]++
	}
	for a, k := range got {
		if k < n/3-360 || k > n/3+360 {
			t.Errorf("%v got %d of %d", a, k, n)
		}
	}
	if len(got) != 3 {
		t.Errorf("%d replicas got clients, want 3", len(got))
	}
}

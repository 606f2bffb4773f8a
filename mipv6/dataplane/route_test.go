package dataplane

import (
	"errors"
	"net/netip"
	"testing"
)

// Which parts of a route go together.
func TestRouteCheck(t *testing.T) {
	peer, other := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")
	for name, c := range map[string]struct {
		route Route
		want  error
	}{
		"tunnelled":                      {Route{}, nil},
		"optimised":                      {Route{Kind: Optimised}, nil},
		"optimised, relayed to us":       {Route{Kind: Optimised, Peer: peer, From: other}, nil},
		"optimised, relayed by nobody":   {Route{Kind: Optimised, Peer: netip.IPv6Unspecified()}, ErrInvalid},
		"relay to nobody":                {Route{Kind: RelayTo}, ErrRoute},
		"held and kept":                  {Route{Kind: Held, Keep: true}, nil},
		"optimised and kept":             {Route{Kind: Optimised, Keep: true}, ErrRoute},
		"returned":                       {Route{Kind: RelayTo, Peer: peer, From: peer, Keep: true}, nil},
		"returned by somebody else":      {Route{Kind: RelayTo, Peer: peer, From: other, Keep: true}, ErrRoute},
		"paused":                         {Route{Kind: RelayTo, Peer: peer, Pause: true}, nil},
		"paused via optimised, and from": {Route{Kind: RelayTo, Peer: peer, Via: Optimised, From: other, Pause: true}, nil},
		"paused via relayed":             {Route{Kind: RelayTo, Peer: peer, Via: Relayed, From: other, Pause: true}, nil},
		"paused and returned":            {Route{Kind: RelayTo, Peer: peer, From: peer, Keep: true, Pause: true}, ErrRoute},
		"tunnelled and paused":           {Route{Pause: true}, ErrRoute},
		"optimised and paused":           {Route{Kind: Optimised, Peer: peer, Pause: true}, ErrRoute},
		"held and paused":                {Route{Kind: Held, Peer: peer, Pause: true}, ErrRoute},
		"relayed and paused":             {Route{Kind: Relayed, Peer: peer, Pause: true}, nil},
		"direct and paused":              {Route{Kind: Direct, Peer: peer, Pause: true}, ErrRoute},
	} {
		if err := c.route.Check(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// How logs and vanyctl show a route.
func TestRouteString(t *testing.T) {
	peer, other := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")
	for want, r := range map[string]Route{
		"optimised and relayed by 2001:db8::1":                                 {Kind: Optimised, Peer: peer},
		"relay to 2001:db8::1 via tunnelled, paused":                           {Kind: RelayTo, Peer: peer, Pause: true},
		"relay to 2001:db8::1 via optimised, paused, accepts from 2001:db8::2": {Kind: RelayTo, Peer: peer, Via: Optimised, From: other, Pause: true},
		"held and relayed by 2001:db8::1, kept, accepts from 2001:db8::2":      {Kind: Held, Peer: peer, From: other, Keep: true},
	} {
		if got := r.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

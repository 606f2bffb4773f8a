package bindings

import (
	"cmp"
	"fmt"
	"net/netip"
	"time"
)

// Target is to whom the mobile node tells where a home address is.
type Target struct {
	Home netip.Addr // the contact address
	Peer netip.Addr // the home agent, or a correspondent
}

func (t Target) String() string { return fmt.Sprintf("%v at %v", t.Home, t.Peer) }

func compareTargets(a, b Target) int { return cmp.Or(a.Home.Compare(b.Home), a.Peer.Compare(b.Peer)) }

// Params describe one exchange: a Binding Update, its retransmissions, and the
// acknowledgement.
type Params struct {
	CareOf           netip.Addr
	Lifetime         time.Duration // zero deletes the binding
	HomeRegistration bool
	// FirstTimeout is the wait for the first acknowledgement; default
	// mipv6.InitialBindackTimeout. It doubles up to mipv6.MaxBindackTimeout
	// (RFC 6275 §11.8).
	FirstTimeout time.Duration
	Tries        int // transmissions; default DefaultTries
	// Sequence is the first number to be used; nil takes the one after the last.
	Sequence *uint16
	// SameSequence keeps the number in retransmissions. RFC 6275 §11.8 wants a
	// greater one each time; only an update that asks "did anybody use this
	// number?" (see package anycast, Reclaim) keeps its own.
	SameSequence bool
	// Resyncs is how often a status 135 is followed by taking the number that it
	// tells and trying again; with none left the exchange ends as Refused.
	Resyncs int
}

// UpdateState is the state of one entry of the list.
type UpdateState uint8

// String names the state.
func (s UpdateState) String() string { return [...]string{"idle", "pending", "bound"}[min(s, Bound)] }

// Update is the public view of one entry (RFC 6275 §11.1).
type Update struct {
	Target
	CareOf           netip.Addr
	HomeRegistration bool
	State            UpdateState
	Sequence         uint16 // last number used
	Lifetime         time.Duration
	Expires          time.Time // zero unless Bound
	Refresh          time.Time // zero unless Bound
	Outstanding      bool      // an exchange is under way
}

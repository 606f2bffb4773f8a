package framework

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
)

// Names of the policies.
const (
	PolicyLocal  = "local"
	PolicyRandom = "random"
)

// View is what a policy selects from.
type View struct {
	Client netip.AddrPort
	Self   netip.Addr
	// Listening: an application listens here.
	Listening bool
	// NeverSelf: Self is only for when no other replica is left.
	NeverSelf bool
	// Replicas are the other replicas, without those that failed lately.
	Replicas []netip.Addr
}

// Policy selects the replica that serves a client (thesis §5.4.1). Its methods
// are called from many goroutines at once, unless it is an Early one never in the
// service's events: a slow policy delays only the client it is asked about.
type Policy interface {
	// Select gives the target for a client, never one of exclude: these were
	// tried already. Selecting Self means the local application. False: there
	// is no target.
	Select(v View, exclude map[netip.Addr]bool) (netip.Addr, bool)
	// ReplicaFailed tells that a handoff to the replica failed, and how, before
	// Select is called for the same client again.
	ReplicaFailed(replica netip.Addr, err error)
}

// NewPolicy makes a policy by its name; the error wraps ErrUnknownPolicy.
func NewPolicy(name string) (Policy, error) {
	switch name {
	case PolicyLocal:
		return local{}, nil
	case PolicyRandom:
		return &random{rand: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))}, nil
	}
	return nil, fmt.Errorf("%w: %q", ErrUnknownPolicy, name)
}

// local leaves every client to the local application.
type local struct{}

func (local) Select(v View, exclude map[netip.Addr]bool) (netip.Addr, bool) {
	return v.Self, !exclude[v.Self]
}

func (local) ReplicaFailed(netip.Addr, error) {}

// random gives every replica, this one among them, the same share.
type random struct {
	mu   sync.Mutex // a rand.Rand is not for concurrent use
	rand *rand.Rand
}

func (r *random) Select(v View, exclude map[netip.Addr]bool) (netip.Addr, bool) {
	candidates := make([]netip.Addr, 0, len(v.Replicas)+1)
	for _, a := range v.Replicas {
		if a != v.Self && !exclude[a] {
			candidates = append(candidates, a)
		}
	}
	if v.Listening && !v.NeverSelf && !exclude[v.Self] {
		candidates = append(candidates, v.Self)
	}
	if len(candidates) == 0 {
		return v.Self, !exclude[v.Self]
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return candidates[r.rand.IntN(len(candidates))], true
}

func (*random) ReplicaFailed(netip.Addr, error) {}

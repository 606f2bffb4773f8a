package handoff

import (
	"net/netip"
	"sync"
	"time"
)

// Role is which half of a handoff a record tells of.
type Role string

// The two roles.
const (
	RoleDonor    Role = "donor"
	RoleAcceptor Role = "acceptor"
)

// Record is what is kept of one handoff, for the operator.
type Record struct {
	ID       uint64 // the client's
	Service  string
	Client   netip.AddrPort
	Contact  netip.AddrPort
	From, To netip.Addr
	Role     Role
	Mode     Mode
	Started  time.Time
	// Gap is how long the client was not served as this side saw it: at the
	// donor from frozen to acknowledged (or thawed), at the acceptor from the
	// arrival of the request to the activation.
	Gap time.Duration
	// Bytes is the length of the message that carried the client.
	Bytes int
	// Phases is how long each step took, in the order of the first of a kind.
	Phases []Phase
	// Err is why the client did not move, empty if it did.
	Err string
}

// Phase is a kind of step of a handoff and how long it took.
type Phase struct {
	Action ActionKind
	Took   time.Duration
}

// ring keeps the newest records.
type ring struct {
	mu   sync.Mutex
	buf  []Record
	next int // where the next goes
	full bool
}

func newRing(n int) *ring { return &ring{buf: make([]Record, n)} }

func (r *ring) add(rec Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.buf[r.next] = rec
	r.next++
	if r.next == len(r.buf) {
		r.next, r.full = 0, true
	}
}

// list returns the records, oldest first.
func (r *ring) list() []Record {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []Record
	if r.full {
		out = append(out, r.buf[r.next:]...)
	}
	return append(out, r.buf[:r.next]...)
}

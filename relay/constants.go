package relay

import "time"

// Defaults and limits.
const (
	// DefaultLifetime is how long a registration lasts that is not renewed. Far
	// more than any handoff takes; an owner that is cut off for longer has lost
	// its client to the client's own timeouts anyway.
	DefaultLifetime = 300 * time.Second
	// DefaultMaxEntries bounds the connections that an anchor relays, and those
	// that an owner has relayed.
	DefaultMaxEntries = 65536
	// DefaultTimeout bounds a verb whose context does not end before: as in
	// package anycast, shorter than a handoff.
	DefaultTimeout = 8 * time.Second

	// lifetimeUnit is the unit of lifetimes on the wire, that of RFC 6275 §6.1.7.
	lifetimeUnit = 4 * time.Second
	// maxLifetime is the longest that an anchor grants.
	maxLifetime = 600 * time.Second

	// callTimeout bounds one call to an anchor.
	callTimeout = 2 * time.Second
	// firstPause and lastPause are the pauses between two rounds of asking all
	// who may be the anchor.
	firstPause = 50 * time.Millisecond
	lastPause  = 800 * time.Millisecond

	// markHold is for how long after Mark the owner's registration is not renewed:
	// the acceptor decides about the next number in this time.
	markHold = 30 * time.Second
	// sweep is how often leases are looked at. None needs it finer: they last for
	// minutes.
	sweep = 5 * time.Second
	// idleUse is for how long a connection that has ended counts as used after its
	// last packet: late segments must not meet the anchor's listener.
	idleUse = 60 * time.Second
	// lateFor is how long an anchor relays a connection whose client is bound to the
	// owner: what was under way then.
	lateFor = 12 * time.Second
	// collectTimeout bounds how long a future contact node waits for the others'
	// registrations. Who does not answer though he lives may lose his clients, so
	// this is as long as the channel takes to notice that a host is dead.
	collectTimeout = 3 * time.Second
	// boundCheck is how often an owner asks an anchor that is not the contact node:
	// nobody else would tell that it is gone. maxMissed is how often in vain until it
	// counts as that.
	boundCheck = 10 * time.Second
	maxMissed  = 2
	// maxCarried bounds the connections of one client that go along with its
	// binding.
	maxCarried = 256
	// maxBatch bounds the updates in one call; an owner with more makes several.
	maxBatch = 1024
)

package bindings

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/vanycast/vanycast/mipv6"
)

// Key finds a binding: a node has one per own address and home address
// (RFC 6275 §9.1).
type Key struct {
	Local netip.Addr // our address, to which the Binding Update was sent
	Home  netip.Addr // the mobile node's home address
}

func (k Key) String() string { return fmt.Sprintf("%v of %v", k.Home, k.Local) }

func compareKeys(a, b Key) int { return cmp.Or(a.Local.Compare(b.Local), a.Home.Compare(b.Home)) }

// Binding is one entry of the cache (RFC 6275 §9.1).
type Binding struct {
	Key
	CareOf           netip.Addr
	Sequence         uint16 // of the last accepted Binding Update
	HomeRegistration bool   // we are the home agent
	LinkLocal        bool   // L bit: defend the link-local address too (§10.3.1)
	KeyManagement    bool   // K bit
	Lifetime         time.Duration
	Expires          time.Time
}

// Config configures a Cache. The zero value is usable.
type Config struct {
	Limit     int // bindings in all; default DefaultCacheLimit
	PerPrefix int // bindings of one home /64; default DefaultCachePerPrefix; home registrations do not count
	// MaxLifetime caps what a home registration is granted; default
	// mipv6.MaxLifetime. Correspondent bindings are capped by
	// mipv6.MaxRRBindingLifetime in any case (RFC 6275 §5.2.6).
	MaxLifetime time.Duration
	// InUse tells whether a correspondent binding deserves a Binding Refresh
	// Request when it is about to expire; nil asks for none.
	InUse func(Key) bool
}

// Cache is the binding cache of a correspondent, of a home agent, or of a node
// that is both.
type Cache struct {
	cfg       Config
	entries   map[Key]*entry
	prefixes  map[netip.Prefix]int
	deadlines deadlines[Key]
}

// entry is a binding, or the memory of a removed one.
type entry struct {
	Binding
	removed   bool // only what guards against replays is still meant
	hasNonces bool
	nonce     uint16    // the newest home nonce index that an accepted update used
	guard     time.Time // until when those nonces may be good
	requests  int       // Binding Refresh Requests asked for
	due       time.Time
}

// NewCache makes an empty cache.
func NewCache(cfg Config) *Cache {
	if cfg.Limit <= 0 {
		cfg.Limit = DefaultCacheLimit
	}
	if cfg.PerPrefix <= 0 {
		cfg.PerPrefix = DefaultCachePerPrefix
	}
	if cfg.MaxLifetime <= 0 || cfg.MaxLifetime > mipv6.MaxLifetime {
		cfg.MaxLifetime = mipv6.MaxLifetime
	}
	return &Cache{
		cfg:       cfg,
		entries:   make(map[Key]*entry),
		prefixes:  make(map[netip.Prefix]int),
		deadlines: deadlines[Key]{less: func(a, b Key) bool { return compareKeys(a, b) < 0 }},
	}
}

// Lookup finds the binding of key, if it has not expired.
func (c *Cache) Lookup(now time.Time, key Key) (Binding, bool) {
	e := c.entries[key]
	if e == nil || e.removed || !now.Before(e.Expires) {
		return Binding{}, false
	}
	return e.Binding, true
}

// Bindings are all bindings, sorted by key.
func (c *Cache) Bindings() []Binding {
	var all []Binding
	for _, e := range c.entries {
		if !e.removed {
			all = append(all, e.Binding)
		}
	}
	slices.SortFunc(all, func(a, b Binding) int { return compareKeys(a.Key, b.Key) })
	return all
}

// Remove takes a binding out without being asked by the mobile node: the
// operator did, or the destination is unreachable (RFC 6275 §9.6). What guards
// against replays stays.
func (c *Cache) Remove(now time.Time, key Key) (Binding, bool) {
	e := c.entries[key]
	if e == nil || e.removed {
		return Binding{}, false
	}
	b := e.Binding
	c.retire(now, e)
	return b, true
}

// retire removes a binding. Of one that came by return routability the sequence
// number stays until the nonces it used are too old: a copy of an old Binding
// Update must not bring it back (RFC 6275 §9.5.3).
func (c *Cache) retire(now time.Time, e *entry) {
	if !e.hasNonces || !now.Before(e.guard) {
		c.forget(e)
		return
	}
	e.removed = true
	c.schedule(e, e.guard)
}

func (c *Cache) forget(e *entry) {
	delete(c.entries, e.Key)
	if e.HomeRegistration {
		return
	}
	p := prefix(e.Home)
	if c.prefixes[p]--; c.prefixes[p] <= 0 {
		delete(c.prefixes, p)
	}
}

func (c *Cache) schedule(e *entry, at time.Time) {
	if e.due.Equal(at) {
		return // it waits for that already; twice, compact could not tell which is stale
	}
	e.due = at
	c.deadlines.add(at, e.Key)
	c.deadlines.compact(len(c.entries), c.valid)
}

// valid tells stale deadlines apart.
func (c *Cache) valid(k Key, at time.Time) bool {
	e := c.entries[k]
	return e != nil && e.due.Equal(at)
}

func prefix(a netip.Addr) netip.Prefix {
	p, err := a.Prefix(64)
	if err != nil { // not an IPv6 address: its own neighbourhood
		return netip.PrefixFrom(a, a.BitLen())
	}
	return p
}

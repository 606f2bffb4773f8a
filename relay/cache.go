package relay

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/bindings"
	"github.com/vanycast/vanycast/mipv6/dataplane"
)

// Request is an update: Owner wants Conn relayed to itself.
type Request struct {
	Conn
	Owner    netip.Addr // its care-of address
	Sequence uint16
	Lifetime time.Duration // zero ends the registration
	// Late: the client is bound to the owner, so only what is under way comes by the
	// anchor. The registration ends soon.
	Late bool
}

// Result is the answer to a Request.
type Result struct {
	// Status is StatusAccepted or why not: StatusSequenceOutOfWindow,
	// StatusInsufficientResources, StatusAdministrativelyProhibited for a replica
	// that may not, StatusNotHomeAgent for who is not the anchor,
	// StatusReasonUnspecified for a data plane that failed.
	Status   mipv6.Status
	Last     uint16        // the last number accepted
	Lifetime time.Duration // what is granted
	// Bound: the client is bound to the anchor, which stays the anchor whoever is
	// contact node.
	Bound bool
}

// Entry is one registration.
type Entry struct {
	Conn
	Owner    netip.Addr
	Sequence uint16
	Expires  time.Time
	HalfOpen bool // made by a SYN; its owner has not registered it
	Late     bool // its client is bound to the owner, and who has it is the client's to say
}

// Cache is the anchor's half: who owns which connection. No I/O and no clock; not
// safe for concurrent use.
type Cache struct {
	entries map[Conn]*Entry
	owned   map[netip.Addr]int // entries of each owner
	clients map[dataplane.Flow]ofClient
	conns   map[clientPair]map[Conn]bool // the connections of each client
	max     int

	halfOpen int // entries made by a SYN
}

// ofClient is what is registered of one client of a contact address.
type ofClient struct {
	entries int
	owner   netip.Addr // of the newest
}

// clientPair is a client of a contact address.
type clientPair struct{ contact, client netip.Addr }

func (p clientPair) flow() dataplane.Flow { return dataplane.Flow{Home: p.contact, Client: p.client} }

func (c Conn) pair() clientPair { return clientPair{c.Contact.Addr(), c.Client.Addr()} }

// NewCache makes a cache of at most max entries, of which one owner can have at
// most half: a replica gone wild does not keep the others out.
func NewCache(max int) *Cache {
	return &Cache{
		entries: make(map[Conn]*Entry), owned: make(map[netip.Addr]int), clients: make(map[dataplane.Flow]ofClient), max: max,
		conns: make(map[clientPair]map[Conn]bool),
	}
}

// Check says what Update would answer.
func (c *Cache) Check(now time.Time, r Request) Result {
	e := c.live(now, r.Conn)
	switch {
	case e != nil && !bindings.After(r.Sequence, e.Sequence) && (r.Sequence != e.Sequence || r.Owner != e.Owner):
		return Result{Status: mipv6.StatusSequenceOutOfWindow, Last: e.Sequence}
	case r.Lifetime > 0 && (e == nil || e.Owner != r.Owner) && c.full(e, r.Owner):
		return Result{Status: mipv6.StatusInsufficientResources}
	}
	if r.Late {
		r.Lifetime = min(r.Lifetime, lateFor)
	}
	return Result{Last: r.Sequence, Lifetime: min(r.Lifetime, maxLifetime)}
}

func (c *Cache) full(e *Entry, owner netip.Addr) bool {
	return e == nil && len(c.entries) >= c.max || c.owned[owner] >= max(c.max/2, 1)
}

// Update takes an update if its number is greater than the last, or the last and
// the owner's own: then it is the same update once more, or a renewal.
func (c *Cache) Update(now time.Time, r Request) Result {
	res := c.Check(now, r)
	if res.Status != mipv6.StatusAccepted {
		return res
	}
	c.remove(r.Conn)
	if r.Lifetime > 0 {
		c.insert(&Entry{Conn: r.Conn, Owner: r.Owner, Sequence: r.Sequence, Expires: now.Add(res.Lifetime), Late: r.Late})
	}
	return res
}

// restore undoes an Update of a connection that had this entry before, or none.
func (c *Cache) restore(e Entry, known bool, conn Conn) {
	c.remove(conn)
	if known {
		c.insert(&e)
	}
}

// insert puts in an entry where there is none.
func (c *Cache) insert(e *Entry) {
	c.entries[e.Conn] = e
	c.owned[e.Owner]++
	client := e.Flow().ClientFlow()
	c.clients[client] = ofClient{c.clients[client].entries + 1, e.Owner}
	of := c.conns[e.pair()]
	if of == nil {
		of = make(map[Conn]bool)
		c.conns[e.pair()] = of
	}
	of[e.Conn] = true
	if e.HalfOpen {
		c.halfOpen++
	}
}

// Of lists the connections of one client, in order.
func (c *Cache) Of(contact, client netip.Addr) []Conn {
	return slices.SortedFunc(maps.Keys(c.conns[clientPair{contact, client}]), Conn.Compare)
}

func (c *Cache) remove(conn Conn) {
	e := c.entries[conn]
	if e == nil {
		return
	}
	delete(c.entries, conn)
	if c.owned[e.Owner]--; c.owned[e.Owner] <= 0 {
		delete(c.owned, e.Owner)
	}
	client := e.Flow().ClientFlow()
	if of := c.clients[client]; of.entries > 1 {
		of.entries--
		c.clients[client] = of
	} else {
		delete(c.clients, client)
	}
	of := c.conns[conn.pair()]
	if delete(of, conn); len(of) == 0 {
		delete(c.conns, conn.pair())
	}
	if e.HalfOpen {
		c.halfOpen--
	}
}

func (c *Cache) live(now time.Time, conn Conn) *Entry {
	if e := c.entries[conn]; e != nil && now.Before(e.Expires) {
		return e
	}
	return nil
}

// Lookup gives the registration of a connection, false if there is none or it has
// expired.
func (c *Cache) Lookup(now time.Time, conn Conn) (Entry, bool) {
	if e := c.live(now, conn); e != nil {
		return *e, true
	}
	return Entry{}, false
}

// Poll removes what has expired, and gives it.
func (c *Cache) Poll(now time.Time) []Entry {
	var gone []Entry
	for conn, e := range c.entries {
		if !now.Before(e.Expires) {
			gone = append(gone, *e)
			c.remove(conn)
		}
	}
	sortEntries(gone)
	return gone
}

// Forget removes all of a contact address.
func (c *Cache) Forget(contact netip.Addr) {
	for conn := range c.entries {
		if conn.Contact.Addr() == contact {
			c.remove(conn)
		}
	}
}

// All lists the entries in order, also those that are about to expire.
func (c *Cache) All() []Entry {
	var all []Entry
	for e := range maps.Values(c.entries) {
		all = append(all, *e)
	}
	sortEntries(all)
	return all
}

// Len is the number of entries.
func (c *Cache) Len() int { return len(c.entries) }

func sortEntries(all []Entry) {
	slices.SortFunc(all, func(a, b Entry) int { return a.Conn.Compare(b.Conn) })
}

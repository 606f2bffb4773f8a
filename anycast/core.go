package anycast

import (
	"cmp"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"time"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/bindings"
	"github.com/vanycast/vanycast/mipv6/rr"
)

// pair is a contact address and a client.
type pair = rr.Pair

func comparePairs(a, b pair) int {
	return cmp.Or(a.Home.Compare(b.Home), a.Client.Compare(b.Client))
}

// target is the update list's name for the pair.
func target(p pair) bindings.Target { return bindings.Target{Home: p.Home, Peer: p.Client} }

// opID names an operation that somebody waits for; 0 is nobody: a refresh.
type opID uint64

// core is what a replica knows and decides, without I/O and without a clock.
// Each event method appends to out what is to be done, in order; take hands it
// over. Not safe for concurrent use.
type core struct {
	cfg      coreConfig
	contacts map[netip.Addr]*contact
	clients  map[pair]*client
	ops      map[opID]*waiter
	list     *bindings.UpdateList
	relay    *rr.Relay
	running  map[pair]*client // those with a run of return routability

	forgetting []forgetting // clients that were prepared for
	guards     []guarding   // clients that are guarded, in the order of time

	out      []action
	counters map[string]uint64
	refusals struct { // of malformed messages, in this second
		since time.Time
		sent  int
	}
}

// coreConfig is what the core needs of Config and Deps.
type coreConfig struct {
	careOf     netip.Addr
	maxClients int
	rand       io.Reader
}

// contact is one contact address.
type contact struct {
	Contact
	contactNode netip.Addr // whom to ask for home tests
	told        told       // what package relay knows of that
	epoch       *uint16    // the number of the last home registration known, ours or another's
	active      bool       // registered at the home agent: we are the contact node
	flows       bool       // active, and the home agent takes flow bindings
	wanted      bool       // active, or on the way there
	waiter      opID       // of Active or Close
	closing     bool
	retry       time.Time // when to register again, if not zero
}

// told is the contact node that somebody was told of, if he was.
type told struct {
	node netip.Addr
	once bool
}

// client is what is known of one client of one contact address.
type client struct {
	pair
	home    rr.HomeToken
	careOf  rr.CareOfToken
	waiters []homeWaiter // for a home test under way
	asking  bool         // another replica was asked for it
	op      *op
	early   bool // route optimised ahead of the acknowledgement
	held    bool
	guarded time.Time // until when what is not known of it meets silence, zero if it does not
	taken   taken
	lost    bool // the client forgot a binding of ours; is it worth another?
	route   routeKind
	refused time.Time  // until when it counts as without Mobile IPv6
	blocked time.Time  // until when its packets are taken not to get through on the short cut
	falling bool       // its binding is being removed for that: its packets take the tunnel already
	proven  bool       // it has spoken Mobile IPv6: silence is not for want of it
	owner   netip.Addr // the replica that last asked for a home test, if any
	used    time.Time
	forget  time.Time // when what Prepare learnt is of no use, zero if it was not called
}

// waiter is an operation that somebody waits for.
type waiter struct {
	name   string
	pair   pair // Client is invalid for operations about the address
	asker  netip.Addr
	isHome bool // waits for a home test only
}

func newCore(cfg coreConfig) *core {
	if cfg.rand == nil {
		cfg.rand = rand.Reader
	}
	return &core{
		cfg:      cfg,
		contacts: make(map[netip.Addr]*contact),
		clients:  make(map[pair]*client),
		ops:      make(map[opID]*waiter),
		list:     bindings.NewUpdateList(2*cfg.maxClients + 64),
		relay:    rr.NewRelay(rr.RelayConfig{Rand: cfg.rand, Tries: testTries}),
		running:  make(map[pair]*client),
		counters: make(map[string]uint64),
	}
}

// take returns what is to be done, in order.
func (c *core) take() []action {
	out := c.out
	c.out = nil
	return out
}

func (c *core) do(a action) { c.out = append(c.out, a) }

func (c *core) log(level slog.Level, msg string, args ...any) {
	c.do(logAction{level, msg, args})
}

// finish ends operation id. The zero id is nobody's: errors are logged.
func (c *core) finish(id opID, err error) { c.finishToken(id, rr.HomeToken{}, err) }

func (c *core) finishToken(id opID, t rr.HomeToken, err error) {
	w := c.ops[id]
	if w == nil {
		return
	}
	delete(c.ops, id)
	c.do(doneAction{id: id, token: t, err: w.error(err)})
}

func (w *waiter) error(err error) error {
	if err == nil {
		return nil
	}
	return &OpError{Op: w.name, Contact: w.pair.Home, Client: w.pair.Client, Err: err}
}

// begin notes that somebody waits for operation id.
func (c *core) begin(id opID, name string, p pair) {
	c.ops[id] = &waiter{name: name, pair: p}
}

// reply ends an operation that was over before it began.
func (c *core) reply(id opID, name string, p pair, err error) {
	c.begin(id, name, p)
	c.finish(id, err)
}

// client finds or makes the entry of a pair, forgetting the least recently used
// idle one if there are too many.
func (c *core) client(now time.Time, p pair) (*client, error) {
	ct := c.contacts[p.Home]
	switch {
	case ct == nil:
		return nil, ErrClosed
	case p.Client == ct.HomeAgent:
		// Its binding would be the registration: both are kept by these two
		// addresses (RFC 6275 §9.1).
		return nil, fmt.Errorf("%w of its own: %v is the home agent", ErrNoMobileIPv6, p.Client)
	case p.Client == ct.Address:
		return nil, fmt.Errorf("%w of its own: %v is the contact address", ErrNoMobileIPv6, p.Client)
	}
	cl := c.clients[p]
	if cl == nil {
		if len(c.clients) >= c.cfg.maxClients && !c.evict() {
			return nil, ErrTableFull
		}
		cl = &client{pair: p}
		c.clients[p] = cl
	}
	cl.used = now
	return cl, nil
}

// firstSequence chooses a number for a client that nobody here has told yet.
func (c *core) firstSequence() uint16 {
	var b [2]byte
	if _, err := io.ReadFull(c.cfg.rand, b[:]); err != nil {
		return 1 // it needs no secrecy; a number already used is told by status 135
	}
	return binary.BigEndian.Uint16(b[:])
}

// covered is the address in the authenticator (RFC 6275 §6.2.7).
func covered(careOf, home netip.Addr, lifetime time.Duration) netip.Addr {
	if lifetime == 0 {
		return home
	}
	return careOf
}

// homeWaiter waits for a home test of one client.
type homeWaiter struct {
	id      opID       // who asked, 0 for the client's own op
	asker   netip.Addr // a replica, or ourselves
	relayed bool       // counted in the relay's table: we were contact node
}

// message is a short form for the actions.
type message = mipv6.Message

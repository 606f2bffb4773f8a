package relay

import (
	"context"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/peer"
)

// Config configures a Node. Zero fields have defaults where named.
type Config struct {
	// Self is this replica's care-of address.
	Self netip.Addr
	// Lifetime is that of registrations; default DefaultLifetime.
	Lifetime time.Duration
	// Timeout bounds the verbs; default DefaultTimeout.
	Timeout time.Duration
	// MaxEntries bounds the connections relayed for others, and those of ours
	// that others relay; default DefaultMaxEntries each.
	MaxEntries int
	// MaxHalfOpen bounds the connections of which only the SYN is known, at the
	// anchor and at an owner; default DefaultMaxHalfOpen.
	MaxHalfOpen int
	// InUse tells whether a connection is alive at this replica: then it stays
	// registered. Default: always.
	InUse func(Conn) bool
	// Local are the live connections of a contact address at this replica: those
	// that are not registered anywhere are, when the contact node moves away.
	// Default: none. Both are called without locks held and must end by themselves.
	Local func(contact netip.Addr) []Conn
	// Pending are the connections of a client that are about to be among Local: their
	// handshake is under way, or they wait to be accepted. It is asked when a client's
	// binding has moved, and called like the two. Default: none.
	Pending func(contact, client netip.Addr) []Conn
	// Vacant is told, again and again, of a client that is bound here though all
	// its connections are relayed to others, most of them to owner. Orphaned is told
	// that the replica that a client is bound to cannot be reached, though it relays
	// connections to us. Defaults: nothing.
	Vacant   func(contact, client, owner netip.Addr)
	Orphaned func(contact, client netip.Addr)
	// Moved is told that another replica has announced itself as contact node, by
	// the home registration with the sequence number epoch. False: a later one is
	// known, so it is none any more. No lock is held. Default: believe it.
	Moved func(contact, node netip.Addr, epoch uint16) bool
	// Flows registers connections at the home agent; nil: they are always relayed.
	Flows  Flows
	Logger *slog.Logger
}

// Caller is the replicas' secure channel: *peer.Node.
type Caller interface {
	Call(ctx context.Context, to netip.Addr, kind peer.Kind, req []byte) ([]byte, error)
}

// Deps are what a Node works with.
type Deps struct {
	Plane dataplane.Plane
	// Peers is the channel; nil where there is only this replica.
	Peers Caller
	Now   func() time.Time // default time.Now
}

// Contact is a contact address and those who share it.
type Contact struct {
	Address netip.Addr
	// ContactNodes may announce themselves, Replicas may have connections
	// relayed. This replica may be among them.
	ContactNodes, Replicas []netip.Addr
	// Direct: what this replica sends in a relayed connection goes straight to
	// the client, with the contact address as source, not back through the anchor.
	Direct bool
	// Flows: connections may get flow bindings at the home agent.
	Flows bool
	// Early: the data plane does not have the contact address yet. No route is set
	// until Ready says that it has.
	Early bool
}

// Node is the owner's and the anchor's half at one replica. Its methods are safe
// for concurrent use.
type Node struct {
	cfg  Config
	deps Deps
	log  *slog.Logger
	able bool // the data plane can relay

	due  chan struct{}   // some leases are to be renewed now
	ctx  context.Context // ends when the node closes
	stop context.CancelFunc
	work sync.WaitGroup

	mu       sync.Mutex
	contacts map[netip.Addr]*contact
	owned    map[Conn]*own
	seams    map[Conn]seam
	cache    *Cache
	bound    map[dataplane.Flow]bool // clients that are bound here
	routes   map[Conn]dataplane.Route
	clients  map[dataplane.Flow]map[Conn]struct{} // their connections in owned or routes
	flowing  map[Conn]bool                        // for which flow bindings are wanted
	ceding   map[clientPair]ceding
	adopting map[clientPair]bool      // clients that are told to be bound here: what goes to them waits
	guarded  map[clientPair]bool      // clients whose unknown packets meet silence
	still    map[clientPair]stillness // clients whose connections stay where they are
	handing  map[clientPair]int       // handoffs under way from here
	round    uint16                   // of the last Still
	stirred  chan struct{}            // closed when one of these changes, nil if nobody waits
	counts   counters

	halves     int       // of owned that are half-open
	confirming []Conn    // new connections that their anchor is to be told of
	confirmAt  time.Time // when it is, zero if there are none
}

// contact is one contact address.
type contact struct {
	Contact
	node    netip.Addr // the contact node, as far as known
	active  bool       // it is this replica
	deposed bool       // it was, and its own connections are to be registered
}

// New makes a node without contact addresses. Run must run for leases to be
// renewed.
func New(cfg Config, deps Deps) *Node {
	setDefault(&cfg.Lifetime, DefaultLifetime)
	setDefault(&cfg.Timeout, DefaultTimeout)
	if cfg.MaxEntries <= 0 {
		cfg.MaxEntries = DefaultMaxEntries
	}
	if cfg.MaxHalfOpen <= 0 {
		cfg.MaxHalfOpen = DefaultMaxHalfOpen
	}
	if cfg.InUse == nil {
		cfg.InUse = func(Conn) bool { return true }
	}
	if cfg.Local == nil {
		cfg.Local = func(netip.Addr) []Conn { return nil }
	}
	if cfg.Pending == nil {
		cfg.Pending = func(_, _ netip.Addr) []Conn { return nil }
	}
	if cfg.Moved == nil {
		cfg.Moved = func(_, _ netip.Addr, _ uint16) bool { return true }
	}
	if cfg.Vacant == nil {
		cfg.Vacant = func(_, _, _ netip.Addr) {}
	}
	if cfg.Orphaned == nil {
		cfg.Orphaned = func(_, _ netip.Addr) {}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if deps.Now == nil {
		deps.Now = time.Now
	}
	n := &Node{
		cfg: cfg, deps: deps, log: cfg.Logger,
		able:     dataplane.FeaturesOf(deps.Plane).Relay && dataplane.FeaturesOf(deps.Plane).Connections,
		contacts: make(map[netip.Addr]*contact), owned: make(map[Conn]*own), seams: make(map[Conn]seam), cache: NewCache(cfg.MaxEntries),
		bound: make(map[dataplane.Flow]bool), routes: make(map[Conn]dataplane.Route), clients: make(map[dataplane.Flow]map[Conn]struct{}),
		flowing: make(map[Conn]bool), ceding: make(map[clientPair]ceding), adopting: make(map[clientPair]bool), guarded: make(map[clientPair]bool), still: make(map[clientPair]stillness), handing: make(map[clientPair]int),
		due: make(chan struct{}, 1),
	}
	n.ctx, n.stop = context.WithCancel(context.Background())
	return n
}

func setDefault(d *time.Duration, v time.Duration) {
	if *d <= 0 {
		*d = v
	}
}

// Run renews leases and lets those of others lapse, until ctx ends.
func (n *Node) Run(ctx context.Context) {
	ticker := time.NewTicker(sweep)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.ctx.Done():
			return
		case <-ticker.C:
			n.sweep()
		case <-n.due:
			n.registerDeposed()
			n.sweep()
		}
	}
}

// Close ends everything under way. Routes go with the data plane's contacts.
func (n *Node) Close() {
	n.mu.Lock()
	n.stop() // nothing is begun any more
	n.mu.Unlock()
	n.work.Wait()
}

// spawn begins what Close waits for. The lock is held.
func (n *Node) spawn(f func()) {
	if n.ctx.Err() == nil {
		n.work.Go(f)
	}
}

// Add makes a contact address known: the contact node is the first of its contact
// nodes that is not this replica, until SetContactNode says otherwise.
func (n *Node) Add(c Contact) {
	n.mu.Lock()
	defer n.mu.Unlock()
	ct := &contact{Contact: c}
	for _, a := range c.ContactNodes {
		if a != n.cfg.Self {
			ct.node = a
			break
		}
	}
	n.contacts[c.Address] = ct
}

// Ready says that the data plane has an early contact address from now on. What was
// collected before is relayed from the first packet on.
func (n *Node) Ready(contact netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	ct := n.contacts[contact]
	if ct == nil {
		return
	}
	ct.Early = false
	for _, e := range n.cache.All() {
		if e.Contact.Addr() == contact {
			n.syncQuietly(e.Conn)
		}
	}
}

// Remove forgets a contact address, whose routes the data plane removes with it.
func (n *Node) Remove(contact netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.contacts, contact)
	n.cache.Forget(contact)
	for c, o := range n.owned {
		if c.Contact.Addr() == contact {
			n.open(o)
			delete(n.owned, c)
			n.index(c)
			n.tellFlow(c)
		}
	}
	for c := range n.seams {
		if c.Contact.Addr() == contact {
			delete(n.seams, c)
		}
	}
	for c := range n.routes {
		if c.Contact.Addr() == contact {
			delete(n.routes, c)
			n.index(c)
		}
	}
	for p := range n.ceding {
		if p.contact == contact {
			delete(n.ceding, p)
		}
	}
	for p := range n.adopting {
		if p.contact == contact {
			delete(n.adopting, p)
		}
	}
	for p := range n.guarded {
		if p.contact == contact {
			delete(n.guarded, p)
		}
	}
	for p := range n.still {
		if p.contact == contact {
			delete(n.still, p)
		}
	}
	n.stir()
	for f := range n.bound {
		if f.Home == contact {
			delete(n.bound, f)
		}
	}
}

// index keeps clients in line with owned and routes after one of them got or lost a
// connection: a client may be one of very many. The lock is held.
func (n *Node) index(c Conn) {
	client := c.Flow().ClientFlow()
	if _, routed := n.routes[c]; routed || n.owned[c] != nil {
		if n.clients[client] == nil {
			n.clients[client] = make(map[Conn]struct{}, 1)
		}
		n.clients[client][c] = struct{}{}
		return
	}
	delete(n.clients[client], c)
	if len(n.clients[client]) == 0 {
		delete(n.clients, client)
	}
}

// SetBound says whether a client is bound to this replica: then what is relayed
// for others takes the optimised route to the client.
func (n *Node) SetBound(contact, client netip.Addr, bound bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f := dataplane.Flow{Home: contact, Client: client}
	if n.bound[f] == bound {
		return
	}
	if bound {
		n.bound[f] = true
		n.straighten(f)
	} else {
		delete(n.bound, f)
	}
	// Those that were relayed; and when the client is not bound any more, those that
	// went its way.
	for _, c := range slices.Collect(maps.Keys(n.clients[f])) {
		if s, ok := n.seams[c]; ok && bound && s.kind == diverting && !s.until.IsZero() {
			// It left, and the client is back with another connection: what comes now
			// may be a new one from the same port, which is nothing to send on.
			delete(n.seams, c)
		}
		if o := n.owned[c]; bound && o != nil && o.anchor != n.cfg.Self {
			o.renew = n.deps.Now().Add(seamLinger) // the anchor before may still send
			if o.closed && o.over.After(o.renew) {
				o.renew = o.over // not longer: the binding might go around for their sake for ever
			}
		}
		if _, routed := n.routes[c]; routed || !bound {
			n.syncQuietly(c)
		}
	}
}

// Guard says whether what is not known of a client meets silence here. Then what goes
// straight from here by the client's route needs one of its own.
func (n *Node) Guard(contact, client netip.Addr, on bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	p := clientPair{contact, client}
	switch {
	case n.guarded[p] == on:
		return
	case on:
		n.guarded[p] = true
	default:
		delete(n.guarded, p)
	}
	n.syncClient(p)
}

// CanRelay reports whether a connection of the contact address can be relayed to
// or from here: another replica shares it, and the data plane is able to.
func (n *Node) CanRelay(contact netip.Addr) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	ct := n.contacts[contact]
	return ct != nil && n.able && n.deps.Peers != nil && (ct.active || ct.node.IsValid()) &&
		slices.ContainsFunc(ct.Replicas, func(a netip.Addr) bool { return a != n.cfg.Self })
}

// Knows reports whether the connection is registered: served here and relayed by
// an anchor, or about to be, or relayed here.
func (n *Node) Knows(c Conn) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	_, relayed := n.cache.Lookup(n.deps.Now(), c)
	o := n.owned[c]
	return relayed || o != nil && o.live
}

// candidates are the replicas that may be the anchor of a connection, the
// likeliest first.
func (n *Node) candidates(ct *contact, c Conn, first netip.Addr) []netip.Addr {
	var out []netip.Addr
	o := n.owned[c]
	bound := n.bound[c.Flow().ClientFlow()] && (o == nil || !o.away)
	add := func(a netip.Addr) {
		if a.IsValid() && (a != n.cfg.Self || ct.active || bound) && (a == n.cfg.Self || slices.Contains(ct.Replicas, a)) && !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	if bound && (o == nil || !o.pending || !o.bound) { // its donor knows better: we may have been it until now
		add(n.cfg.Self)
	}
	if o != nil && o.bound && o.anchor != n.cfg.Self {
		// The client's packets go there, whoever is contact node.
		add(o.anchor)
		return out
	}
	add(first)
	if ct.active {
		add(n.cfg.Self)
		return out
	}
	add(ct.node)
	for _, a := range ct.ContactNodes {
		add(a)
	}
	return out
}

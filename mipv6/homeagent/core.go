package homeagent

import (
	"io"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/bindings"
	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/mipv6/internal/nd"
	"github.com/vanycast/vanycast/mipv6/mhsock"
)

// core is the role without I/O. It is not safe for concurrent use.
type core struct {
	cfg       Config
	zone      string           // of the home link, for addresses there
	linkLayer net.HardwareAddr // ours on the home link
	random    io.Reader
	cache     *bindings.Cache
	limit     *mhsock.Limiter
	pending   map[netip.Addr]*pending        // home addresses in duplicate address detection
	adverts   map[netip.Addr]*advertisement  // home addresses that the neighbours are still told of
	returned  map[netip.Addr]*returned       // mobile nodes at home that an answer waits for
	defences  map[netip.Addr]defence         // registered addresses, by what is defended on the link
	agents    map[netip.Addr]*neighbourAgent // other home agents, by link-local address
	learned   map[netip.Prefix]learnedPrefix
	adverting *routerAdverts // nil: this home agent does not advertise itself
	linkLocal netip.Addr     // ours on the home link; may be invalid
	anycast   netip.Addr     // that of the home agents of the prefix; may be invalid
	counters  map[string]uint64

	further     *bindings.Further   // nil: one care-of address for each home address
	identifiers map[netip.Addr]bool // home registrations that came with a Binding Identifier
}

// actionKind is what the loop is to do.
type actionKind uint8

const (
	actSend actionKind = iota + 1 // packet
	actWatch
	actUnwatch
	actAddProxy
	actRemoveProxy
	actSetTunnel
	actRemoveTunnel
	actDeliver // packet, to linkLayer
	actAddCareOf
	actRemoveCareOf
	actSetFlow
	actRemoveFlow
)

// action is one thing to do. If one that has an answer fails, what core.failed
// returns takes the place of the actions that follow.
type action struct {
	kind   actionKind
	packet *mipv6.Packet    // of actSend
	addr   netip.Addr       // of the neighbour discovery actions
	tunnel dataplane.Tunnel // of the tunnel actions; without CareOf for actRemoveTunnel
	answer *answer

	linkLayer net.HardwareAddr // of actDeliver

	flow    dataplane.FlowTunnel // of the flow actions; only Home and CareOf for the care-of ones
	further bindings.FurtherKey  // whose they are
}

// link is what the core knows of the home link.
type link struct {
	zone      string
	linkLayer net.HardwareAddr
	linkLocal netip.Addr
}

func newCore(cfg Config, l link, random io.Reader) *core {
	anycast, _ := nd.HomeAgentsAnycast(cfg.Prefix)
	c := &core{
		cfg: cfg, zone: l.zone, linkLayer: l.linkLayer, linkLocal: l.linkLocal, anycast: anycast, random: random,
		cache:    bindings.NewCache(bindings.Config{Limit: cfg.MaxBindings, MaxLifetime: cfg.MaxLifetime}),
		limit:    mhsock.NewLimiter(),
		pending:  make(map[netip.Addr]*pending),
		adverts:  make(map[netip.Addr]*advertisement),
		returned: make(map[netip.Addr]*returned),
		defences: make(map[netip.Addr]defence),
		agents:   make(map[netip.Addr]*neighbourAgent),
		learned:  make(map[netip.Prefix]learnedPrefix),
		counters: make(map[string]uint64),

		identifiers: make(map[netip.Addr]bool),
	}
	if len(cfg.Replicas) > 0 {
		c.further = bindings.NewFurther(bindings.FurtherConfig{MaxLifetime: cfg.MaxLifetime})
	}
	return c
}

// message takes a received Mobility Header; false if it is not for a home
// agent.
func (c *core) message(now time.Time, r mhsock.Received) (actions []action, handled bool) {
	m, err := mipv6.Parse(r.Message)
	if err != nil {
		c.count(CounterMalformed)
		return c.limited(now, mhsock.Refusal(r, err)), true // §9.2
	}
	u, ok := m.(*mipv6.BindingUpdate)
	if !ok {
		return nil, false
	}
	a := &answer{received: r, update: u}
	if u.HomeRegistration {
		return c.update(now, a), true
	}
	if b, ok := c.cache.Lookup(now, a.request().Key); ok && b.HomeRegistration {
		return c.refuse(now, a, mipv6.StatusRegistrationTypeChange), true // §9.5.1
	}
	return nil, false
}

// event takes what the data plane noticed: a Home Address option that no
// registration covers draws a Binding Error (§9.3.3).
func (c *core) event(now time.Time, e dataplane.Event) []action {
	if e.Kind != dataplane.UnknownHomeAddress || !mipv6.IsUnicastRoutable(e.Source) || !mipv6.IsUnicastRoutable(e.Dest) {
		return nil
	}
	p := &mipv6.Packet{Src: e.Dest, Dst: e.Source}
	if p.Carry(&mipv6.BindingError{Status: mipv6.UnknownBinding, Home: e.Home}, nil) != nil {
		return nil
	}
	return c.limited(now, p)
}

// poll does what is due.
func (c *core) poll(now time.Time) (actions []action) {
	for _, home := range c.duePending(now) {
		actions = append(actions, c.unique(now, home)...)
	}
	for _, home := range c.dueAdverts(now) {
		actions = append(actions, c.advertise(now, home)...)
	}
	for _, home := range c.dueReturned(now) {
		actions = append(actions, c.askHome(now, home)...)
	}
	actions = append(actions, c.advertiseRouter(now)...)
	actions = append(actions, c.pollFurther(now)...)
	for _, e := range c.cache.Poll(now) {
		if e.Kind == bindings.Expired {
			c.count(CounterExpired)
			actions = append(actions, c.removed(e.Binding)...)
		}
	}
	return actions
}

// next is when poll has something to do; false for never.
func (c *core) next() (next time.Time, ok bool) {
	next, ok = c.cache.Next()
	earlier := func(t time.Time) {
		if !ok || t.Before(next) {
			next, ok = t, true
		}
	}
	for _, p := range c.pending {
		earlier(p.due)
	}
	for _, a := range c.adverts {
		earlier(a.due)
	}
	for _, r := range c.returned {
		earlier(r.due)
	}
	if c.further != nil {
		if at, due := c.further.Next(); due {
			earlier(at)
		}
	}
	if c.adverting != nil {
		earlier(c.adverting.due)
	}
	return next, ok
}

// withdraw ends every registration and every detection: the role ends.
func (c *core) withdraw(now time.Time) (actions []action) {
	for _, home := range sortedAddrs(c.pending) {
		actions = append(actions, c.unpend(home)...)
	}
	for _, b := range c.cache.Bindings() {
		c.cache.Remove(now, b.Key)
		actions = append(actions, c.removed(b)...)
	}
	return append(actions, c.endAdverts()...)
}

// removed undoes what registered did for a binding that the cache no longer
// has (§10.3.2).
func (c *core) removed(b bindings.Binding) []action {
	delete(c.adverts, b.Home)
	c.forgetFurther(b.Home)
	actions := []action{{kind: actRemoveTunnel, tunnel: dataplane.Tunnel{Home: b.Home, HomeAgent: c.cfg.Address}}}
	for _, a := range defended(b.Home, b.LinkLocal) {
		delete(c.defences, a)
		actions = append(actions, action{kind: actRemoveProxy, addr: a})
	}
	return actions
}

// defended are the addresses that are kept on the home link for a mobile node:
// its home address, and with the L bit the link-local address of the same
// interface identifier (§10.3.1).
func defended(home netip.Addr, linkLocal bool) []netip.Addr {
	addrs := []netip.Addr{home}
	if linkLocal {
		a := [16]byte{0: 0xfe, 1: 0x80}
		h := home.As16()
		copy(a[8:], h[8:])
		addrs = append(addrs, netip.AddrFrom16(a))
	}
	return addrs
}

// limited sends an answer that strangers can provoke at will, or does not.
func (c *core) limited(now time.Time, p *mipv6.Packet) []action {
	if p == nil {
		return nil
	}
	if !c.limit.Allow(now, p.Dst) {
		c.count(CounterLimited)
		return nil
	}
	return []action{{kind: actSend, packet: p}}
}

func (c *core) count(name string) { c.counters[name]++ }

func sortedAddrs[V any](m map[netip.Addr]V) []netip.Addr {
	addrs := make([]netip.Addr, 0, len(m))
	for a := range m {
		addrs = append(addrs, a)
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	return addrs
}

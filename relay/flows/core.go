package flows

import (
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/bindings"
	"github.com/vanycast/vanycast/relay"
)

// core is the package without I/O. It is not safe for concurrent use.
type core struct {
	careOf   netip.Addr
	id       uint16
	first    func() uint16 // a sequence number to begin with
	contacts map[netip.Addr]*contact
	list     *bindings.UpdateList
	actions  []action
	counters map[string]uint64
}

// contact is one contact address.
type contact struct {
	Contact
	*table
	said       map[uint16]content // of the exchange under way, by sequence number
	due        time.Time          // when something is to be told; zero: nothing
	asking     bool
	able       bool // the contact node's word
	asked      time.Time
	registered bool
	failures   int // exchanges in a row that came to nothing
	closing    bool
}

// action is what the loop is to do.
type action any

type (
	askAction  struct{ contact netip.Addr } // the contact node
	sendAction struct {
		home, agent netip.Addr
		message     *mipv6.BindingUpdate
	}
	// boundAction: the home agent has a flow binding for the connection, or not any
	// more.
	boundAction struct {
		conn  relay.Conn
		bound bool
	}
	closedAction struct{ contact netip.Addr }
	logAction    struct {
		level slog.Level
		msg   string
		args  []any
	}
)

func newCore(careOf netip.Addr, first func() uint16) *core {
	return &core{
		careOf: careOf, id: bindingID(careOf), first: first, contacts: make(map[netip.Addr]*contact),
		list:     bindings.NewUpdateList(0),
		counters: map[string]uint64{CounterUpdates: 0, CounterBound: 0, CounterRefused: 0, CounterFailed: 0},
	}
}

func (c *core) do(a action) { c.actions = append(c.actions, a) }

// take gives what is to be done.
func (c *core) take() []action {
	all := c.actions
	c.actions = nil
	return all
}

func (ct *contact) target() bindings.Target {
	return bindings.Target{Home: ct.Address, Peer: ct.HomeAgent}
}

func (c *core) add(ct Contact) {
	c.contacts[ct.Address] = &contact{Contact: ct, table: newTable(c.careOf)}
}

// want asks for a flow binding of a connection, with the relay's sequence number;
// saying it again changes nothing.
func (c *core) want(now time.Time, conn relay.Conn, sequence uint16) {
	ct := c.contacts[conn.Contact.Addr()]
	if ct == nil || ct.closing || !ct.want(conn, sequence) {
		return
	}
	if ct.failures == 0 || ct.due.IsZero() { // else it waits for its turn
		c.tell(ct, now.Add(collect))
	}
}

// unwant ends it. The home agent hears of that at once: until then the connection's
// packets come here.
func (c *core) unwant(now time.Time, conn relay.Conn) {
	ct := c.contacts[conn.Contact.Addr()]
	if ct == nil {
		return
	}
	f := ct.byConn[conn]
	if ct.unwant(conn) && (f.bound || ct.said != nil) {
		c.tell(ct, now)
	}
}

// tell makes an update due; not later than one that is due already.
func (c *core) tell(ct *contact, at time.Time) {
	if ct.due.IsZero() || at.Before(ct.due) {
		ct.due = at
	}
}

// poll does what is due.
func (c *core) poll(now time.Time) {
	for _, a := range c.list.Poll(now) {
		c.listed(now, a)
	}
	for _, home := range c.homes() {
		ct := c.contacts[home]
		if ct.due.IsZero() || now.Before(ct.due) || ct.asking || ct.said != nil || ct.closing {
			continue
		}
		ct.due = time.Time{}
		switch {
		case len(ct.byConn) == 0 && !ct.registered:
		case ct.able && now.Sub(ct.asked) < trust:
			c.begin(now, ct)
		default:
			ct.asking = true
			c.do(askAction{home})
		}
	}
}

// homes are the contact addresses in order.
func (c *core) homes() []netip.Addr {
	var all []netip.Addr
	for home := range c.contacts {
		all = append(all, home)
	}
	slices.SortFunc(all, netip.Addr.Compare)
	return all
}

// next is when poll has something to do; false for never.
func (c *core) next() (next time.Time, ok bool) {
	next, ok = c.list.Next()
	for _, ct := range c.contacts {
		if !ct.due.IsZero() && !ct.asking && ct.said == nil && !ct.closing && (!ok || ct.due.Before(next)) {
			next, ok = ct.due, true
		}
	}
	return next, ok
}

// answered is the contact node's answer: whether the home agent takes flow
// bindings, or that it could not be asked.
func (c *core) answered(now time.Time, home netip.Addr, able bool, err error) {
	ct := c.contacts[home]
	if ct == nil || !ct.asking {
		return
	}
	ct.asking, ct.able, ct.asked = false, able && err == nil, now
	switch {
	case ct.closing:
	case err != nil:
		c.do(logAction{slog.LevelDebug, "contact node not asked for flow bindings", []any{"contact", home, "err", err}})
		c.tell(ct, now.Add(askAgain))
	case !able:
		c.lost(ct)
		if len(ct.byConn) > 0 {
			c.tell(ct, now.Add(declined))
		}
	default:
		c.begin(now, ct)
	}
}

// begin starts an exchange with the home agent.
func (c *core) begin(now time.Time, ct *contact) {
	c.exchange(now, ct, min(ct.Lifetime, MaxLifetime))
}

func (c *core) exchange(now time.Time, ct *contact, lifetime time.Duration) {
	ct.said = make(map[uint16]content)
	err := c.list.Learn(ct.target(), c.sequence(ct))
	if err == nil {
		err = c.list.Begin(now, ct.target(), bindings.Params{
			CareOf: c.careOf, Lifetime: lifetime, HomeRegistration: true, Tries: tries, Resyncs: resyncs,
		})
	}
	if err != nil {
		c.failed(now, ct, err)
		return
	}
	for _, a := range c.list.Poll(now) {
		c.listed(now, a)
	}
}

// sequence is the last number used at this home agent, or one to begin with.
func (c *core) sequence(ct *contact) uint16 {
	if u, known := c.list.Get(ct.target()); known {
		return u.Sequence
	}
	return c.first()
}

// listed does what the binding update list finds due.
func (c *core) listed(now time.Time, a bindings.Action) {
	ct := c.contacts[a.Target.Home]
	if ct == nil {
		return
	}
	switch a.Kind {
	case bindings.Transmit:
		c.transmit(now, ct, a)
	case bindings.GaveUp:
		c.failed(now, ct, errSilent)
	case bindings.RefreshDue:
		if len(ct.byConn) > 0 { // else it may lapse
			c.tell(ct, now)
		}
	case bindings.Lapsed:
		c.lost(ct)
		if len(ct.byConn) > 0 {
			c.tell(ct, now)
		}
	}
}

// transmit makes the Binding Update, with what is to be said now.
func (c *core) transmit(now time.Time, ct *contact, a bindings.Action) {
	m := &mipv6.BindingUpdate{Sequence: a.Sequence, Acknowledge: true, HomeRegistration: true, Lifetime: a.Lifetime,
		Options: []mipv6.Option{&mipv6.BindingIdentifier{ID: c.id, Priority: mipv6.LeastBindingPriority}}}
	var said content
	if a.Lifetime > 0 {
		var options []mipv6.Option
		options, said = ct.say(now, c.id)
		m.Options = append(m.Options, options...)
	}
	ct.said[a.Sequence] = said
	ct.due = time.Time{} // all is said; what became of it, settle finds
	c.counters[CounterUpdates]++
	c.do(sendAction{ct.Address, ct.HomeAgent, m})
}

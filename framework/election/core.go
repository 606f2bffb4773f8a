package election

import (
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"github.com/vanycast/vanycast/mipv6/bindings"
)

// core is what one replica knows about one contact address, without I/O and
// without a clock. Not safe for concurrent use.
type core struct {
	cfg     Config
	t       Timing
	rank    int // ours, -1: we are no candidate
	members []*member
	began   time.Time

	node   netip.Addr // the contact node, as far as known; may be ourselves
	epoch  uint16
	known  bool
	active bool // we are it

	busy    bool      // a registration is under way
	settled bool      // the start is over: we know who else lives
	leaving bool      // we are about to end
	doubt   bool      // somebody says that another is contact node
	beaten  bool      // the home agent said that somebody was quicker, and we do not know who
	hold    time.Time // until then we do not try to become it
	unable  time.Time // until then the home agent counts as closed to us
	confirm time.Time // when to ask the home agent whether we still are it
	asked   time.Time // when everybody was asked whether the contact node lives
	told    View      // what everybody was told

	out []action
}

func newCore(cfg Config, now time.Time) *core {
	c := &core{cfg: cfg, t: cfg.Timing.withDefaults(), rank: slices.Index(cfg.Candidates, cfg.Self), began: now}
	for _, a := range slices.Concat(cfg.Candidates, cfg.Replicas) {
		if a != cfg.Self && c.member(a) == nil {
			c.members = append(c.members, &member{addr: a, rank: slices.Index(cfg.Candidates, a)})
		}
	}
	return c
}

func (c *core) member(a netip.Addr) *member {
	for _, m := range c.members {
		if m.addr == a {
			return m
		}
	}
	return nil
}

// take returns what is to be done, in order.
func (c *core) take() []action {
	out := c.out
	c.out = nil
	return out
}

func (c *core) do(a action) { c.out = append(c.out, a) }

func (c *core) log(level slog.Level, msg string, args ...any) {
	c.do(logAction{level, msg, append([]any{"contact", c.cfg.Contact}, args...)})
}

// view is what others are told.
func (c *core) view(now time.Time) View {
	v := View{
		Epoch: c.epoch, Known: c.known, Node: c.node, Active: c.active,
		Leaving: c.leaving, Unable: now.Before(c.unable),
	}
	if m := c.member(c.node); m != nil {
		v.Sees = m.up && m.view.Active
	}
	if c.active {
		v.Yield = c.yieldTo(now)
	}
	return v
}

// heard is another replica's view, a ping or the answer to ours.
func (c *core) heard(now time.Time, from netip.Addr, v View, answer bool) {
	m := c.member(from)
	if m == nil {
		return
	}
	if answer {
		m.pinged, m.tried = false, true
	}
	if v.Active {
		v.Node = from
	}
	m.alive(now)
	switch {
	case v.Active:
		m.view, m.idle = v, time.Time{}
	case from == c.node && v.Known && bindings.After(c.epoch, v.Epoch):
		// From before it became contact node.
	default:
		if m.idle.IsZero() {
			m.idle = now
		}
		m.view = v
	}
	c.learn(now, v)
	c.decide(now)
}

// learn believes a view as far as it is newer than what is known.
func (c *core) learn(now time.Time, v View) {
	switch {
	case !v.Known:
		return
	case c.active:
		c.doubt = c.doubt || bindings.After(v.Epoch, c.epoch) // the home agent knows
		return
	case !c.known:
	case bindings.After(v.Epoch, c.epoch):
		if !v.Active && !c.nodeLives() {
			// Whoever it is, he has just registered: he lives, though we do not see
			// him. With his number we would win, and should not.
			c.hold = now.Add(c.t.Retry())
		}
	case v.Epoch == c.epoch && v.Node.IsValid() && (v.Active || !c.node.IsValid()):
	case v.Active && !c.nodeLives():
		// With an older number, but nobody else is there: a home agent that has
		// forgotten everything counts anew.
	default:
		return
	}
	if v.Active {
		c.hold, c.beaten = time.Time{}, false // if this one dies we shall see it
	}
	if v.Node == c.cfg.Self {
		v.Node = netip.Addr{} // that was in an earlier life
	}
	if c.known && c.epoch == v.Epoch && c.node == v.Node {
		return
	}
	if m := c.member(v.Node); m != nil && c.node != v.Node {
		m.view.Active, m.idle = true, time.Time{} // until it says otherwise
	}
	c.epoch, c.known, c.node = v.Epoch, true, v.Node
	if c.node.IsValid() {
		c.do(followAction{c.node, c.epoch})
	}
}

// failed: a ping was not answered; refused tells that the host is there and the
// process is not.
func (c *core) failed(now time.Time, to netip.Addr, refused bool) {
	m := c.member(to)
	if m == nil {
		return
	}
	m.pinged, m.tried = false, true
	if !refused {
		m.refusing = time.Time{}
	} else if m.refusing.IsZero() {
		m.refusing = now
	}
	c.poll(now)
}

// poll looks at the clocks.
func (c *core) poll(now time.Time) {
	for _, m := range c.members {
		if m.late(now, c.t) && (c.rank >= 0 && m.rank >= 0 || m.addr == c.node) {
			c.log(slog.LevelWarn, "contact node candidate lost", "node", m.addr, "rank", m.rank)
			if m.addr == c.node {
				c.asked = now
				c.pingAll(now) // does anybody see it?
			}
		}
	}
	c.decide(now)
	for _, m := range c.members {
		if c.wants(now, m) && !now.Before(m.next) {
			c.ping(now, m)
		}
	}
}

// wants: m is to be pinged.
func (c *core) wants(now time.Time, m *member) bool {
	switch {
	case m.addr == c.node, now.Sub(c.began) < c.t.Silence:
		return true
	case c.rank >= 0:
		return m.rank >= 0 || !c.active && !c.nodeLives()
	}
	return m.rank >= 0 && !c.nodeLives()
}

func (c *core) ping(now time.Time, m *member) {
	if m.pinged {
		return
	}
	m.pinged, m.next = true, now.Add(c.t.Beat)
	c.do(pingAction{m.addr, c.view(now)})
}

// pingAll pings all, those with a ping under way as soon as that is over.
func (c *core) pingAll(now time.Time) {
	for _, m := range c.members {
		m.next = now
		c.ping(now, m)
	}
}

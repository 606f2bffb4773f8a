package anycast

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/vanycast/vanycast/relay"
)

// Connection is one connection of a client, with the verbs of its Address: for a
// client with Mobile IPv6 they are the Address's own, which move all that the
// client has with the contact address; for one without, and for one with other
// connections that stay, they have the connection relayed (package relay). Which
// it is, is decided once, by Settle or Mark at the donor and by the Mark at the
// acceptor. Its methods are safe for concurrent use.
type Connection struct {
	a    *Address
	conn relay.Conn

	mu      sync.Mutex
	decided bool
	relayed bool
}

// Connection names the connection between local, the contact address and port,
// and remote, the client's.
func (a *Address) Connection(local, remote netip.AddrPort) *Connection {
	return &Connection{a: a, conn: relay.Conn{Contact: local, Client: remote}}
}

// decide settles which way it is, if it is not settled.
func (c *Connection) decide(relayed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.decided {
		c.decided, c.relayed = true, relayed
	}
}

// IsRelayed reports whether the connection is, or would be, moved by relaying.
func (c *Connection) IsRelayed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.decided {
		return c.relayed
	}
	bound, immobile := c.standing()
	n, mobile := c.a.node, c.mobile()
	switch {
	case !bound && (n.relay.Alone(c.conn) || !mobile && n.relay.Knows(c.conn)):
		return true
	case immobile && !bound && !mobile, c.shared():
		return n.relay.CanRelay(c.a.home)
	}
	return false
}

// Settle decides now whether the connection is moved by relaying, and says it.
func (c *Connection) Settle() bool {
	c.decide(c.IsRelayed())
	return c.IsRelayed()
}

// IsImmobile reports whether the client is known to have no Mobile IPv6.
func (c *Connection) IsImmobile() bool {
	bound, immobile := c.standing()
	return immobile && !bound
}

func (c *Connection) standing() (bound, immobile bool) {
	n := c.a.node
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.core.standing(n.deps.Now(), c.a.pair(c.conn.Client.Addr()))
}

// mobile reports whether the client is known to have Mobile IPv6.
func (c *Connection) mobile() bool {
	n := c.a.node
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.core.mobile(n.deps.Now(), c.a.pair(c.conn.Client.Addr()))
}

// shared reports whether the client has other connections that a new binding would
// move along: served here, or relayed by us.
func (c *Connection) shared() bool {
	n := c.a.node
	return n.cfg.Shared != nil && n.cfg.Shared(c.conn) || n.relay.AnchorsOther(c.conn)
}

// Begin says, at the donor, that a handoff of the connection begins, and End that it
// is over. Meanwhile the client's binding does not move by itself; where it is on
// the move Begin waits for it, for a few seconds at most. Its error is ErrBusy then,
// and End is not to be called.
func (c *Connection) Begin(ctx context.Context) error {
	return c.error("begin", c.a.node.relay.Begin(ctx, c.conn))
}

// End is described at Begin.
func (c *Connection) End() { c.a.node.relay.End(c.conn) }

// Ready is when the client may be told of a new care-of address; see
// Address.Ready. An anchor may be told at any time.
func (c *Connection) Ready() time.Time {
	if c.IsRelayed() {
		return c.a.node.deps.Now()
	}
	return c.a.Ready(c.conn.Client.Addr())
}

// Mark is what the acceptor must know; see Address.Mark.
func (c *Connection) Mark() (Mark, error) {
	if !c.Settle() {
		if !c.a.CanRelay() || !c.shared() {
			return c.a.Mark(c.conn.Client.Addr())
		}
		// Another connection came after the decision: a new binding would move it.
		c.mu.Lock()
		c.relayed = true
		c.mu.Unlock()
	}
	m, err := c.a.node.relay.Mark(c.conn)
	if err != nil {
		return Mark{}, c.error("mark", err)
	}
	return c.mark(m), nil
}

func (c *Connection) mark(m relay.Mark) Mark {
	return Mark{Sequence: m.Sequence, Bound: m.Bound, Relayed: true, Immobile: c.IsImmobile(), Anchor: m.Anchor}
}

// Preview is the mark as it would be now. It has no effect.
func (c *Connection) Preview() Mark {
	if !c.IsRelayed() {
		return c.a.Preview(c.conn.Client.Addr())
	}
	return c.mark(c.a.node.relay.Preview(c.conn))
}

// Prepare does what Start needs and nobody notices; see Address.Prepare. An
// anchor needs nothing ahead of time.
func (c *Connection) Prepare(ctx context.Context, m Mark) error {
	client := c.conn.Client.Addr()
	switch {
	case !m.Relayed:
		return c.a.Prepare(ctx, client, m)
	case !c.a.CanRelay():
		return &OpError{"prepare", c.a.home, client, fmt.Errorf("%w (%w)", c.unrelayed(m), ErrUntouched)}
	}
	return nil
}

// unrelayed says why a client cannot come here alone.
func (c *Connection) unrelayed(m Mark) error {
	if m.Immobile {
		return fmt.Errorf("%w: this replica cannot have it relayed", ErrNoMobileIPv6)
	}
	return errors.New("this replica cannot have one of several connections relayed")
}

// Start makes the connection ours; see Address.Start and relay.Node.Start. The
// mark says which.
func (c *Connection) Start(ctx context.Context, donor netip.Addr, m Mark) error {
	c.decide(m.Relayed)
	client := c.conn.Client.Addr()
	if !m.Relayed {
		if err := c.a.Start(ctx, client, donor, m); err != nil {
			return err
		}
		c.a.node.relay.Straight(c.conn) // it may have been relayed from here until now
		return nil
	}
	if m.Immobile {
		c.a.Immobile(client)
	}
	return c.error("start", c.a.node.relay.Start(ctx, c.conn, m.relay()))
}

// Finish forgets a connection that another replica serves now.
func (c *Connection) Finish() {
	if c.IsRelayed() {
		c.a.node.relay.Finish(c.conn)
	} else {
		c.a.Finish(c.conn.Client.Addr())
		c.a.node.relay.Gone(c.conn)
	}
}

// Reclaim asks who owns the connection: the client itself (Address.Reclaim), or
// the anchor.
func (c *Connection) Reclaim(ctx context.Context, m Mark) error {
	c.decide(m.Relayed)
	if !m.Relayed {
		return c.a.Reclaim(ctx, c.conn.Client.Addr(), m)
	}
	return c.error("reclaim", c.a.node.relay.Reclaim(ctx, c.conn, m.relay()))
}

// Bind makes sure that the connection's packets come here.
func (c *Connection) Bind(ctx context.Context) error {
	if !c.IsRelayed() {
		return c.a.Bind(ctx, c.conn.Client.Addr())
	}
	return c.error("bind", c.a.node.relay.Bind(ctx, c.conn))
}

// Hold stops the connection's packets at this replica, all the client's if it is
// bound; see Address.Hold.
func (c *Connection) Hold() error {
	if !c.IsRelayed() {
		return c.a.Hold(c.conn.Client.Addr())
	}
	c.decide(true)
	return c.error("hold", c.a.node.relay.Hold(c.conn))
}

// Unhold ends Hold.
func (c *Connection) Unhold() error {
	return errors.Join(c.a.Unhold(c.conn.Client.Addr()), c.error("unhold", c.a.node.relay.Unhold(c.conn)))
}

// error is a relay's error in this package's words.
func (c *Connection) error(op string, err error) error {
	if err == nil {
		return nil
	}
	var inner *relay.OpError
	if errors.As(err, &inner) {
		err = inner.Err
	}
	var overtaken *relay.SequenceError
	if errors.As(err, &overtaken) {
		err = &SequenceError{overtaken.Anchor, overtaken.Last}
	}
	for theirs, ours := range map[error]error{relay.ErrUnsent: ErrUntouched, relay.ErrTimeout: ErrTimeout, relay.ErrClosed: ErrClosed, relay.ErrBusy: ErrBusy} {
		if errors.Is(err, theirs) {
			err = fmt.Errorf("%w (%w)", err, ours)
		}
	}
	return &OpError{op, c.a.home, c.conn.Client.Addr(), err}
}

// CanRelay reports whether clients without Mobile IPv6 can be handed off from
// here: another replica shares the contact address, and the data plane is able to.
func (a *Address) CanRelay() bool { return a.node.relay.CanRelay(a.home) }

// Immobile says that a client has no Mobile IPv6, as somebody has found out. It is
// remembered for a while.
func (a *Address) Immobile(client netip.Addr) {
	a.node.event(func(now time.Time) { a.node.core.assume(now, a.pair(client)) })
}

// Relayed are the connections of this contact address that this replica relays,
// or has relayed.
func (a *Address) Relayed() []relay.Info { return a.node.relay.Connections(a.home) }

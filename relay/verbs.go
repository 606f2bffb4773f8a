package relay

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Mark is what a donor tells the acceptor of a relayed connection.
type Mark struct {
	// Sequence is the last number that the donor used. The acceptor uses the next.
	Sequence uint16
	// Anchor is where the donor is registered; invalid if nowhere.
	Anchor netip.Addr
	// Bound: the client is bound to the anchor, so nobody else is one.
	Bound bool
}

// firstSequence chooses a number for a connection that was not registered yet.
func firstSequence() uint16 {
	var b [2]byte
	rand.Read(b[:]) // never fails
	return binary.BigEndian.Uint16(b[:])
}

// Mark is what the acceptor of a handoff must know. From now on, for half a
// minute, this replica does not renew its registration.
func (n *Node) Mark(c Conn) (Mark, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	o, err := n.ownOf(c)
	if err != nil {
		return Mark{}, &OpError{"mark", c, err}
	}
	now := n.deps.Now()
	ct := n.contacts[c.Contact.Addr()]
	bound := n.bound[c.Flow().ClientFlow()]
	if !o.live || bound && o.anchor != n.cfg.Self {
		// Served here though it was never registered, or not since the client was
		// bound to us: where the client's packets come first its connections need no
		// relay. The register must know the number.
		o.live, o.sequence, o.anchor = true, firstSequence(), ct.node
		if ct.active || bound {
			o.anchor, o.bound = n.cfg.Self, bound
			if e, ok := n.cache.Lookup(now, c); ok {
				o.sequence = e.Sequence + 1
			}
			res := n.cache.Update(now, Request{Conn: c, Owner: n.cfg.Self, Sequence: o.sequence, Lifetime: n.cfg.Lifetime})
			if err := n.refusal(n.cfg.Self, res); err != nil {
				n.drop(c)
				return Mark{}, &OpError{"mark", c, err}
			}
			res.Bound = bound
			o.granted(now, res)
		}
	}
	o.marked, o.untold = now.Add(markHold), false
	n.syncQuietly(c) // the way that the acceptor can take over
	return Mark{o.sequence, o.anchor, o.bound && o.anchor.IsValid()}, nil
}

// Preview is what Mark would say of a connection that is registered already.
func (n *Node) Preview(c Conn) Mark {
	n.mu.Lock()
	defer n.mu.Unlock()
	if o := n.owned[c]; o != nil {
		return Mark{o.sequence, o.anchor, o.bound && o.anchor.IsValid()}
	}
	return Mark{}
}

// Start makes a connection ours: it is registered with the number after the
// mark's. On nil its packets come here, and what we send goes to the client.
// Errors: *SequenceError if another replica has registered it since the mark;
// *StatusError for another refusal; ErrNoAnchor, ErrTimeout and the context's. An
// error that is also ErrUnsent left no trace; after another the anchor may or may
// not have taken it: Reclaim at the donor finds out.
func (n *Node) Start(ctx context.Context, c Conn, m Mark) error {
	o, err := n.begin(c, m)
	if err != nil {
		return &OpError{"start", c, fmt.Errorf("%w (%w)", err, ErrUnsent)}
	}
	if err := n.register(ctx, c, o, m.Sequence+1, m.Anchor, m.Bound); err != nil {
		n.mu.Lock()
		defer n.mu.Unlock()
		defer n.stir()
		if n.owned[c] == o {
			o.live, o.pending = false, false
			var overtaken *SequenceError
			if n.seams[c].kind == through && !errors.As(err, &overtaken) {
				// It lives here, and is heard through its donor: it goes on trying,
				// with this number, which nobody else can use after it.
				o.live, o.sequence, o.renew = true, m.Sequence+1, time.Time{}
			} else if o.held {
				n.syncQuietly(c)
			} else {
				n.drop(c)
			}
		}
		return &OpError{"start", c, err}
	}
	return nil
}

// begin prepares the way for packets that come as soon as the anchor has taken
// the update, before its answer. Should another replica become contact node now, it is
// told a number below the donor's: if the donor lives, its word counts; if not, what
// the client sends comes here and draws no reset.
func (n *Node) begin(c Conn, m Mark) (*own, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	o, err := n.ownOf(c)
	if err != nil {
		return nil, err
	}
	ct := n.contacts[c.Contact.Addr()]
	if o.busy {
		return nil, errors.New("another update is under way")
	}
	if m.Bound && m.Anchor == n.cfg.Self && !n.bound[c.Flow().ClientFlow()] {
		n.drop(c)
		return nil, ErrNoAnchor // we were it
	}
	o.anchor, o.bound, o.alone, o.pending = m.Anchor, m.Bound, true, true
	nodes := n.candidates(ct, c, m.Anchor)
	if len(nodes) == 0 {
		n.drop(c)
		return nil, ErrNoAnchor
	}
	n.open(o)
	o.live, o.held, o.lost, o.straight = true, false, false, false
	o.settle(nodes[0])
	o.former = netip.Addr{}
	o.sequence = m.Sequence - 1
	if err := n.sync(c); err != nil {
		n.drop(c)
		return nil, err
	}
	return o, nil
}

// register has an update decided and notes what came of it.
func (n *Node) register(ctx context.Context, c Conn, o *own, sequence uint16, first netip.Addr, only bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, n.cfg.Timeout, ErrTimeout)
	defer cancel()
	n.mu.Lock()
	o.busy = true
	n.mu.Unlock()
	r := registration{
		n: n, own: o, first: first, only: only,
		request: Request{Conn: c, Owner: n.cfg.Self, Sequence: sequence, Lifetime: n.cfg.Lifetime},
	}
	res, err := r.run(ctx)
	n.mu.Lock()
	defer n.mu.Unlock()
	o.busy = false
	n.stir()
	if err != nil {
		return err
	}
	if n.owned[c] != o {
		return ErrClosed // the contact address was removed meanwhile
	}
	n.open(o)
	o.sequence, o.marked, o.untold = sequence, time.Time{}, false
	o.live, o.pending, o.lost, o.held, o.straight = true, false, false, false, false
	o.granted(n.deps.Now(), res)
	return n.sync(c)
}

// Straight says that a connection is served here and that its client sends here by
// itself, whoever had it relayed before.
func (n *Node) Straight(c Conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if e, ok := n.cache.Lookup(n.deps.Now(), c); ok && e.Owner != n.cfg.Self {
		n.cache.remove(c)
		n.drop(c)
	}
}

// Finish forgets a connection that another replica serves now.
func (n *Node) Finish(c Conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.owned[c] != nil {
		n.drop(c)
	}
}

// Gone is Finish for a connection that went with its client's binding: whatever was
// known of it here, as anchor or owner, is not true any more.
func (n *Node) Gone(c Conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if e, ok := n.cache.entries[c]; ok && e.Owner == n.cfg.Self {
		n.cache.remove(c)
	}
	if n.owned[c] != nil {
		n.drop(c)
	}
}

// Reclaim asks the anchor who owns the connection, after a handoff with this mark
// whose end did not become known: an update with the very number that the acceptor
// had. To be called when the acceptor's Start is over. On nil it is ours; a
// *SequenceError says that it is the acceptor's. After other errors nothing is known.
func (n *Node) Reclaim(ctx context.Context, c Conn, m Mark) error {
	n.mu.Lock()
	o, err := n.ownOf(c)
	n.mu.Unlock()
	if err == nil {
		err = n.register(ctx, c, o, m.Sequence+1, m.Anchor, m.Bound)
	}
	if err != nil {
		return &OpError{"reclaim", c, err}
	}
	return nil
}

// Bind registers a connection that is served here and not known to be registered,
// whatever number it takes.
func (n *Node) Bind(ctx context.Context, c Conn) error {
	n.mu.Lock()
	o, err := n.ownOf(c)
	var next uint16
	if err == nil {
		next = o.sequence + 1
	}
	n.mu.Unlock()
	if err == nil {
		err = n.register(ctx, c, o, next, netip.Addr{}, false)
		var overtaken *SequenceError
		if errors.As(err, &overtaken) { // who used that number has given the connection up
			err = n.register(ctx, c, o, overtaken.Last+1, overtaken.Anchor, false)
		}
	}
	if err != nil {
		return &OpError{"bind", c, err}
	}
	return nil
}

// Withdraw is Bind for a connection of a client that is bound here and soon will not
// be any more.
func (n *Node) Withdraw(ctx context.Context, c Conn) error {
	n.mu.Lock()
	o, err := n.ownOf(c)
	if err == nil {
		o.away = true
	}
	n.mu.Unlock()
	if err != nil {
		return &OpError{"withdraw", c, err}
	}
	return n.Bind(ctx, c)
}

// Hold stops a connection's packets at this replica, both ways, in silence.
func (n *Node) Hold(c Conn) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	o, err := n.ownOf(c)
	if err == nil {
		o.held = true
		err = n.sync(c)
	}
	if err != nil {
		return &OpError{"hold", c, err}
	}
	return nil
}

// Unhold ends Hold.
func (n *Node) Unhold(c Conn) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	o := n.owned[c]
	if o == nil || !o.held {
		return nil
	}
	o.held = false
	if !o.live && !o.busy {
		n.open(o)
		delete(n.owned, c)
		n.index(c)
	}
	if err := n.sync(c); err != nil {
		return &OpError{"unhold", c, err}
	}
	return nil
}

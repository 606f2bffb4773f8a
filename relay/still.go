package relay

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/vanycast/vanycast/peer"
)

// The binding of a client with several connections does not move while one of them
// is being handed off: the mark of a handoff names the anchor, and the list that the
// next anchor gets names the owners. So before an anchor cedes a binding it has all
// owners hold still: they let the handoffs end that are under way, and begin none
// until the binding has moved, or stays. The owner that an anchor does not know of
// yet, because it is just getting the connection, is asked when it does.

const (
	// stillWait is how long the handoffs under way are waited for.
	stillWait = time.Second
	// stillFor is how long an owner holds still that nobody tells any more: longer
	// than it takes to find out who has the binding.
	stillFor = 30 * time.Second
	// beginWait is how long a handoff waits for a binding that moves.
	beginWait = 3 * time.Second
	// stillRounds bounds how often owners are found that were not asked yet.
	stillRounds = 8
)

// ErrBusy: a handoff of a connection has to wait for the client's binding, which
// moves, or the binding for a handoff.
var ErrBusy = errors.New("the client's binding or one of its connections is on the move")

// stillness is a client none of whose connections is handed off from here.
type stillness struct {
	anchor netip.Addr   // who asked for it
	round  uint16       // which time
	until  time.Time    // when it ends by itself
	asked  []netip.Addr // at the anchor: the owners that hold still as well
}

// isStill looks whether it is, and has not ended. The lock is held.
func (n *Node) isStill(p clientPair) bool {
	s, ok := n.still[p]
	return ok && n.deps.Now().Before(s.until)
}

// Begin says that a handoff of a connection from here begins, and End that it is
// over. Where the client's binding is on the move Begin waits, for a few seconds at
// most: then the error is ErrBusy, and End is not to be called.
func (n *Node) Begin(ctx context.Context, c Conn) error {
	p := c.pair()
	n.mu.Lock()
	if !n.isStill(p) {
		n.handing[p]++
		n.mu.Unlock()
		return nil
	}
	n.mu.Unlock()
	ctx, cancel := context.WithTimeoutCause(ctx, beginWait, ErrBusy)
	defer cancel()
	err := n.await(ctx, func() bool {
		if n.isStill(p) {
			return false
		}
		n.handing[p]++
		return true
	})
	if err != nil {
		return &OpError{"begin", c, err}
	}
	return nil
}

// End is described at Begin.
func (n *Node) End(c Conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	p := c.pair()
	if n.handing[p]--; n.handing[p] <= 0 {
		delete(n.handing, p)
	}
	n.stir()
}

// await waits until the condition holds. It is looked at with the lock held, again
// when something stirs.
func (n *Node) await(ctx context.Context, holds func() bool) error {
	for {
		n.mu.Lock()
		if holds() {
			n.mu.Unlock()
			return nil
		}
		if n.stirred == nil {
			n.stirred = make(chan struct{})
		}
		ch := n.stirred
		n.mu.Unlock()
		select {
		case <-ch:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-n.ctx.Done():
			return ErrClosed
		}
	}
}

// stir has those who wait look again. The lock is held.
func (n *Node) stir() {
	if n.stirred != nil {
		close(n.stirred)
		n.stirred = nil
	}
}

// holdStill begins no handoff of a client any more, and waits for those that are
// under way. On an error all is as before.
func (n *Node) holdStill(ctx context.Context, p clientPair, anchor netip.Addr, round uint16) error {
	n.mu.Lock()
	s, ok := n.still[p]
	if n.isStill(p) && (s.anchor != anchor || anchor == n.cfg.Self) || !ok && len(n.still) >= n.cfg.MaxEntries {
		n.mu.Unlock()
		return ErrBusy
	}
	n.still[p] = stillness{anchor: anchor, round: round, until: n.deps.Now().Add(stillFor)}
	n.mu.Unlock()
	ctx, cancel := context.WithTimeoutCause(ctx, stillWait, ErrBusy)
	defer cancel()
	err := n.await(ctx, func() bool { return !n.moving(p) })
	if err != nil {
		n.mu.Lock()
		n.release(p, anchor, round)
		n.mu.Unlock()
	}
	return err
}

// moving tells whether a connection of a client is on its way from here, or to here.
// The lock is held.
func (n *Node) moving(p clientPair) bool {
	if n.handing[p] > 0 {
		return true
	}
	for c := range n.clients[p.flow()] {
		if o := n.owned[c]; o != nil && (o.busy || o.pending) {
			return true
		}
	}
	return false
}

// sweepStill forgets what nobody has ended. The lock is held.
func (n *Node) sweepStill() {
	for p := range n.still {
		if !n.isStill(p) {
			n.back(p, netip.Addr{})
			delete(n.still, p)
			n.stir()
		}
	}
}

// release ends that a client is held still for an anchor. The lock is held.
func (n *Node) release(p clientPair, anchor netip.Addr, round uint16) {
	if s, ok := n.still[p]; ok && s.anchor == anchor && s.round == round {
		n.back(p, netip.Addr{})
		delete(n.still, p)
		n.stir()
	}
}

// free ends Still at the anchor, and tells those who hold still as well, but those
// whom somebody else tells. The lock is held.
func (n *Node) free(p clientPair, but []netip.Addr) {
	s, ok := n.still[p]
	if !ok || s.anchor != n.cfg.Self {
		return
	}
	n.release(p, s.anchor, s.round)
	asked := slices.DeleteFunc(s.asked, func(a netip.Addr) bool { return slices.Contains(but, a) })
	if len(asked) > 0 {
		n.spawn(func() { _ = n.tellAll(n.ctx, p, stageFree, s.round, asked) })
	}
}

// Still has all owners of a client's connections hold still, this replica too,
// until Ceded or Keep. An owner that cannot be reached is left out: should it live,
// what it hands off meanwhile is refused here. The error is ErrBusy where a handoff
// does not end.
func (n *Node) Still(ctx context.Context, contact, client netip.Addr) error {
	p := clientPair{contact, client}
	n.mu.Lock()
	n.round++
	round := n.round
	n.mu.Unlock()
	if err := n.holdStill(ctx, p, n.cfg.Self, round); err != nil {
		return err
	}
	for range stillRounds {
		var owners []netip.Addr
		n.mu.Lock()
		s := n.still[p]
		if s.anchor != n.cfg.Self || s.round != round {
			n.mu.Unlock()
			return ErrBusy // the contact address is gone
		}
		for _, o := range n.owners(p) {
			if !slices.Contains(s.asked, o) {
				owners, s.asked = append(owners, o), append(s.asked, o)
			}
		}
		n.still[p] = s
		n.mu.Unlock()
		if len(owners) == 0 {
			return nil
		}
		if err := n.tellAll(ctx, p, stageStill, round, owners); err != nil {
			n.Keep(contact, client)
			return err
		}
	}
	n.Keep(contact, client)
	return ErrBusy
}

// tellAll tells owners how far it is with a client's binding. An error is one's who
// could be reached.
func (n *Node) tellAll(ctx context.Context, p clientPair, s stage, round uint16, owners []netip.Addr) error {
	ctx, cancel := context.WithTimeoutCause(ctx, collectTimeout, ErrTimeout)
	defer cancel()
	var wg sync.WaitGroup
	var mu sync.Mutex
	var errs error
	for _, owner := range owners {
		wg.Go(func() {
			if err := n.tellOwner(ctx, p, s, round, owner); err != nil && !errors.Is(err, peer.ErrUnreachable) {
				mu.Lock()
				defer mu.Unlock()
				errs = errors.Join(errs, err)
			}
		})
	}
	wg.Wait()
	return errs
}

// tellOwner is tellAll for one.
func (n *Node) tellOwner(ctx context.Context, p clientPair, s stage, round uint16, owner netip.Addr) error {
	_, err := n.deps.Peers.Call(ctx, owner, peer.KindBound, marshalBound(p, s, round))
	if err != nil {
		n.log.Info("owner not told of its anchor", "contact", p.contact, "client", p.client, "owner", owner, "err", err)
	}
	return err
}

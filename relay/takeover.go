package relay

import (
	"context"
	"net/netip"
	"sync"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/peer"
)

// Collect gets the other replicas' registrations when this replica starts, for what
// it relayed before, and before it registers at the home agent: from the first packet on that comes here, it goes to its owner
// and draws no reset. Who does not answer in time is left out, and registers
// itself when it hears of us.
func (n *Node) Collect(ctx context.Context, contact netip.Addr) {
	n.ask(ctx, contact, phaseCollect, 0)
}

// Announce tells the other replicas that this one is contact node, by the home
// registration with the number epoch, and takes what changed since Collect.
func (n *Node) Announce(ctx context.Context, contact netip.Addr, epoch uint16) {
	n.mu.Lock()
	for _, c := range n.ownedOf(contact) {
		if o := n.owned[c]; o.live && !o.lost && !o.bound {
			// Ours, relayed by another until now.
			o.settle(n.cfg.Self)
			res := n.cache.Update(n.deps.Now(), Request{Conn: c, Owner: n.cfg.Self, Sequence: o.sequence, Lifetime: n.cfg.Lifetime})
			if res.Status == mipv6.StatusAccepted {
				o.granted(n.deps.Now(), res)
			}
			n.syncQuietly(c)
		}
	}
	n.mu.Unlock()
	n.ask(ctx, contact, phaseAnnounce, epoch)
}

// ask calls all other replicas of a contact address at once.
func (n *Node) ask(ctx context.Context, contact netip.Addr, p phase, epoch uint16) {
	n.mu.Lock()
	ct := n.contacts[contact]
	var nodes []netip.Addr
	if ct != nil && n.deps.Peers != nil {
		nodes = ct.Replicas
	}
	n.mu.Unlock()
	ctx, cancel := context.WithTimeoutCause(ctx, collectTimeout, ErrTimeout)
	defer cancel()
	var wg sync.WaitGroup
	for _, node := range nodes {
		if node != n.cfg.Self {
			wg.Go(func() { n.askOne(ctx, contact, node, p, epoch) })
		}
	}
	wg.Wait()
}

func (n *Node) askOne(ctx context.Context, contact, node netip.Addr, p phase, epoch uint16) {
	b, err := n.deps.Peers.Call(ctx, node, peer.KindAnchor, marshalAnchor(contact, p, epoch))
	var all []Request
	if err == nil {
		var about netip.Addr
		if about, all, err = parseUpdates(b, node); err == nil && about != contact {
			err = ErrMalformed
		}
	}
	if err != nil {
		n.log.Info("replica not asked for its relayed connections", "contact", contact, "replica", node, "err", err)
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.contacts[contact] == nil {
		return
	}
	for _, r := range all {
		if o := n.owned[r.Conn]; o != nil && o.registered() {
			continue // ours; what the other has is old
		}
		if res := n.cache.Update(n.deps.Now(), r); res.Status == mipv6.StatusAccepted {
			n.endLate(r.Conn)
			n.syncQuietly(r.Conn)
		} else {
			n.log.Debug("registration not taken over", "connection", r.Conn.String(), "owner", node, "status", res.Status)
		}
	}
}

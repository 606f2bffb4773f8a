package anycast

import (
	"context"
	"net/netip"
	"time"
)

// HandleHomeTest answers another replica's call of kind peer.KindHomeTest: a
// home keygen token of the client, a fresh one that is known or a new one. Only
// the contact node of one of its own contact addresses does that; how many tests
// may be under way for one replica, and in all, is bounded. It fits peer.Handler.
func (n *Node) HandleHomeTest(ctx context.Context, from netip.Addr, req []byte) ([]byte, error) {
	p, err := parseRequest(req)
	if err != nil {
		return nil, err
	}
	token, err := n.wait(ctx, n.cfg.HandoffTimeout, func(now time.Time, id opID) {
		n.core.relayed(now, id, from, p)
	})
	return marshalAnswer(n.deps.Now(), token, err)
}

// HandleRelay answers a call of kind peer.KindRelay, HandleAnchor one of kind
// peer.KindAnchor; see package relay. They fit peer.Handler.
func (n *Node) HandleRelay(ctx context.Context, from netip.Addr, req []byte) ([]byte, error) {
	return n.relay.HandleUpdates(ctx, from, req)
}

// HandleAnchor is described at HandleRelay.
func (n *Node) HandleAnchor(ctx context.Context, from netip.Addr, req []byte) ([]byte, error) {
	return n.relay.HandleAnchor(ctx, from, req)
}

// RelayCounters are those of package relay.
func (n *Node) RelayCounters() map[string]uint64 { return n.relay.Counters() }

// HandleRefresh answers a call of kind peer.KindRefresh: a Binding Refresh
// Request that reached the contact node. It fits peer.Handler.
func (n *Node) HandleRefresh(_ context.Context, _ netip.Addr, req []byte) ([]byte, error) {
	p, err := parseRequest(req)
	if err != nil {
		return nil, err
	}
	ours := false
	n.event(func(now time.Time) { ours = n.core.refreshRequested(now, p) })
	if ours {
		return []byte{1}, nil
	}
	return []byte{0}, nil
}

// HandleBound answers a call of kind peer.KindBound; see package relay. It fits
// peer.Handler.
func (n *Node) HandleBound(ctx context.Context, from netip.Addr, req []byte) ([]byte, error) {
	return n.relay.HandleBound(ctx, from, req)
}

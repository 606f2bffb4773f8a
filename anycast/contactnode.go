package anycast

import (
	"context"
	"net/netip"
	"time"
)

// Standing is what this replica knows of the contact node.
type Standing struct {
	Node  netip.Addr // whom it takes for it; invalid if nobody
	Self  bool       // it is this replica: registered, as far as it knows
	Epoch uint16     // the sequence number of the last home registration known
	Known bool       // one is
}

// Standing says who the contact node is.
func (a *Address) Standing() Standing {
	a.node.mu.Lock()
	defer a.node.mu.Unlock()
	ct := a.node.core.contacts[a.home]
	if ct == nil {
		return Standing{}
	}
	s := Standing{Node: ct.contactNode, Self: ct.active}
	if ct.epoch != nil {
		s.Epoch, s.Known = *ct.epoch, true
	}
	return s
}

// Active makes this replica the contact node (mip6_addr_active): it registers its
// care-of address at the home agent and returns when that has acknowledged, or
// why not. The registration is then kept alive until Close, or until another
// replica registers: the home agent's sequence number decides a race, and who
// has lost one gets a *SequenceError. Other errors: *StatusError for a refusal,
// ErrTimeout, the context's.
//
// Connections of clients without Mobile IPv6 survive: before it registers it asks
// the other replicas for theirs, and tells them afterwards.
func (a *Address) Active(ctx context.Context) error { return a.activate(ctx, nil) }

// Succeed is Active for who knows the number of the last registration: it comes
// into effect only if nobody has registered since. A *SequenceError says that
// somebody has, and with which number.
func (a *Address) Succeed(ctx context.Context, last uint16) error { return a.activate(ctx, &last) }

func (a *Address) activate(ctx context.Context, last *uint16) error {
	if a.IsContactNode() {
		return nil
	}
	a.node.relay.Collect(ctx, a.home)
	_, err := a.node.wait(ctx, a.node.cfg.RegisterTimeout, func(now time.Time, id opID) {
		a.node.core.activate(now, id, a.home, last)
	})
	if s := a.Standing(); err == nil && s.Self {
		a.node.relay.Announce(a.node.background, a.home, s.Epoch)
	}
	return err
}

// Confirm asks the home agent whether this replica is the contact node still, by
// registering once more. A *SequenceError says that another is: then this one is
// it no more. After other errors nothing is known and nothing has changed.
func (a *Address) Confirm(ctx context.Context) error {
	_, err := a.node.wait(ctx, a.node.cfg.RegisterTimeout, func(now time.Time, id opID) {
		a.node.core.confirm(now, id, a.home)
	})
	return err
}

// contactNodeMoved: another replica says that it is the contact node.
func (n *Node) contactNodeMoved(home, node netip.Addr, epoch uint16) (believed bool) {
	n.event(func(time.Time) { believed = n.core.announced(home, node, epoch) })
	return believed
}

// IsContactNode reports whether this replica is registered at the home agent, as
// far as it knows.
func (a *Address) IsContactNode() bool { return a.Standing().Self }

// SetContactNode says which replica is the contact node: who is asked first for
// home tests. The other contact nodes are asked if it cannot help.
func (a *Address) SetContactNode(careOf netip.Addr) {
	a.follow(careOf, nil)
}

// Follow is SetContactNode with the number of that replica's registration.
func (a *Address) Follow(careOf netip.Addr, epoch uint16) {
	a.follow(careOf, &epoch)
}

func (a *Address) follow(careOf netip.Addr, epoch *uint16) {
	a.node.event(func(time.Time) {
		ct := a.node.core.contacts[a.home]
		if ct == nil || ct.active {
			return
		}
		ct.contactNode = careOf
		if epoch != nil {
			ct.epoch = epoch
		}
	})
}

// ContactNode is the replica that is taken for the contact node; invalid if none
// is.
func (a *Address) ContactNode() netip.Addr { return a.Standing().Node }

package anycast

import (
	"context"
	"net/netip"

	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/relay"
)

// New connections are decided at their SYN, where the data plane keeps it until the
// decision is there (dataplane.Contact.Steer): the contact node chooses who serves
// the connection and relays it there from its first packet on, so that no endpoint
// has to move. Its replica learns of it by the SYN itself.

// Choose decides who serves a new connection: a replica's care-of address; ours, or
// none, for this one. served is who serves this client's other connections, if
// anybody is known to: a client that can be bound has one replica only. It must be
// quick; the next client waits for it.
type Choose func(c relay.Conn, served netip.Addr) netip.Addr

// steering is what the data plane is told of a contact address.
func (n *Node) steering(ct Contact, c *dataplane.Contact) {
	f := dataplane.FeaturesOf(n.deps.Plane)
	if len(ct.Steer) == 0 || n.deps.Peers == nil || !f.Steer || !f.Relay || !f.Connections {
		return
	}
	var ok bool
	if c.Steer, ok = dataplane.PortsOf(ct.Steer...); !ok {
		n.cfg.Logger.Warn("more ports than the data plane can steer: the rest is handed off after accepting", "contact", ct.Address, "steered", len(c.Steer))
	}
	relays := 0
	for _, a := range ct.ContactNodes {
		if a != n.cfg.CareOf && relays < len(c.Relays) {
			c.Relays[relays] = a
			relays++
		}
	}
}

// HandleEvents takes what the data plane reports of new connections, until ctx
// ends or the channel does. They are decided one after the other, in their order.
func (n *Node) HandleEvents(ctx context.Context, events <-chan dataplane.Event) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case e, ok := <-events:
			if !ok {
				return nil
			}
			n.HandleEvent(e)
		}
	}
}

// HandleEvent is HandleEvents for one.
func (n *Node) HandleEvent(e dataplane.Event) {
	if e.Kind != dataplane.NewConnection {
		return
	}
	c := relay.Conn{
		Contact: netip.AddrPortFrom(e.Flow.Home, e.Flow.HomePort), Client: netip.AddrPortFrom(e.Flow.Client, e.Flow.ClientPort),
	}
	n.mu.Lock()
	ct := n.core.contacts[e.Flow.Home]
	active := ct != nil && ct.active
	_, immobile := n.core.standing(n.deps.Now(), pair{Home: e.Flow.Home, Client: e.Flow.Client})
	n.mu.Unlock()
	switch {
	case ct == nil:
		return // removed: the data plane forgets what it kept
	case active && n.cfg.Choose != nil:
		if n.steer(c, immobile) {
			return
		}
	case !active && e.Source != ct.HomeAgent:
		err := n.relay.Take(c, e.Source)
		if err == nil {
			return
		}
		n.cfg.Logger.Warn("new connection not taken over", "connection", c.String(), "from", e.Source, "err", err)
	}
	// It is ours like any other.
	if err := n.deps.Plane.RemoveRoute(e.Flow); err != nil {
		n.cfg.Logger.Error("new connection not delivered", "connection", c.String(), "err", err)
	}
}

// steer sends a new connection to the replica that is to serve it; false if that is
// this one.
func (n *Node) steer(c relay.Conn, immobile bool) bool {
	var served netip.Addr
	if !immobile {
		served, _ = n.relay.OwnerOf(c.Contact.Addr(), c.Client.Addr())
	}
	owner := n.cfg.Choose(c, served)
	if !owner.IsValid() || owner == n.cfg.CareOf {
		return false
	}
	if err := n.relay.Steer(c, owner); err != nil {
		n.cfg.Logger.Debug("new connection accepted here", "connection", c.String(), "chosen", owner, "err", err)
		return false
	}
	return true
}

// Steered tells whether the contact node chose this replica for a connection that
// came into being here, and makes its registration there an ordinary one.
func (a *Address) Steered(local, remote netip.AddrPort) bool {
	return a.node.relay.Accepted(relay.Conn{Contact: local, Client: remote})
}

// ReplicaFailed says that a replica cannot be reached: SYNs that it has not answered
// are decided again.
func (a *Address) ReplicaFailed(replica netip.Addr) { a.node.relay.Failed(a.home, replica) }

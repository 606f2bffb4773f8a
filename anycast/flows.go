package anycast

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/peer"
	"github.com/vanycast/vanycast/relay"
	"github.com/vanycast/vanycast/relay/flows"
)

// Flow bindings (package flows): what the contact node finds out about the home
// agent, and how the others hear of it.

const flowsVersion = 1

// contactPriority is BID-PRI of the contact node's binding: it gets what no flow
// binding claims (RFC 6089 §4.1).
const contactPriority = 1

// newFlows makes the part that registers flows.
func (n *Node) newFlows() *flows.Node {
	return flows.New(flows.Config{CareOf: n.cfg.CareOf, Logger: n.cfg.Logger}, flows.Deps{
		Send: n.deps.MH.Send, Able: n.takesFlows, Bound: n.relay.SetFlow, Now: n.deps.Now,
	})
}

// identifier is the contact node's Binding Identifier, if it is to find out whether
// the home agent takes flow bindings. One that does not know the option skips it.
func (c *core) identifier(ct *contact) []mipv6.Option {
	if !ct.FlowBindings {
		return nil
	}
	return []mipv6.Option{&mipv6.BindingIdentifier{ID: flows.BindingID(c.cfg.careOf), Priority: contactPriority}}
}

// identified notes what an accepted registration says of the home agent.
func (c *core) identified(ct *contact, m *mipv6.BindingAcknowledgement) {
	id, ok := mipv6.FindOption[*mipv6.BindingIdentifier](m)
	ct.flows = ok && id.ID == flows.BindingID(c.cfg.careOf)
}

// takesFlows asks the contact node whether the home agent takes flow bindings.
func (n *Node) takesFlows(ctx context.Context, home netip.Addr) (bool, error) {
	n.mu.Lock()
	ct := n.core.contacts[home]
	var node netip.Addr
	if ct != nil {
		node = ct.contactNode
	}
	n.mu.Unlock()
	switch {
	case !node.IsValid() || node == n.cfg.CareOf:
		return false, fmt.Errorf("anycast: flow bindings of %v: %w", home, ErrNotContactNode)
	case n.deps.Peers == nil:
		return false, nil
	}
	b, err := n.deps.Peers.Call(ctx, node, peer.KindFlows, append([]byte{flowsVersion}, home.AsSlice()...))
	if err != nil {
		return false, fmt.Errorf("ask %v: %w", node, err)
	}
	if len(b) != 1 || b[0] > 1 {
		return false, fmt.Errorf("anycast: decode answer of %v: % x", node, b)
	}
	return b[0] == 1, nil
}

// HandleFlows answers another replica's call of kind peer.KindFlows: whether the
// home agent takes flow bindings. Only the contact node knows. It fits peer.Handler.
func (n *Node) HandleFlows(_ context.Context, _ netip.Addr, req []byte) ([]byte, error) {
	if len(req) != 17 || req[0] != flowsVersion {
		return nil, fmt.Errorf("anycast: decode question about flow bindings: % x", req[:min(len(req), 32)])
	}
	home := netip.AddrFrom16([16]byte(req[1:]))
	n.mu.Lock()
	defer n.mu.Unlock()
	ct := n.core.contacts[home]
	if ct == nil || !ct.active {
		return nil, fmt.Errorf("anycast: flow bindings of %v: %w", home, ErrNotContactNode)
	}
	if ct.flows {
		return []byte{1}, nil
	}
	return []byte{0}, nil
}

// FlowCounters are those of package flows.
func (n *Node) FlowCounters() map[string]uint64 { return n.flows.Counters() }

// flowsOf is a Node's part that registers flows, for the relay, which is made
// before it.
type flowsOf struct{ n *Node }

// Want implements relay.Flows.
func (f flowsOf) Want(c relay.Conn, sequence uint16) { f.n.flows.Want(c, sequence) }

// Unwant implements relay.Flows.
func (f flowsOf) Unwant(c relay.Conn) { f.n.flows.Unwant(c) }

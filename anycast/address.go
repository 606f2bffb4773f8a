package anycast

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/relay"
	"github.com/vanycast/vanycast/relay/flows"
)

// Address is one contact address at this replica.
type Address struct {
	node *Node
	home netip.Addr
}

// Passive puts a contact address on this host (thesis §3.2.3,
// mip6_addr_passive): programs can bind it, and clients can be handed here. The
// contact node is the first of the contact nodes until SetContactNode says
// otherwise.
func (n *Node) Passive(ctx context.Context, ct Contact) (*Address, error) {
	if err := ct.check(n.cfg.CareOf); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, &OpError{"passive", ct.Address, netip.Addr{}, err}
	}
	closed := error(&OpError{"passive", ct.Address, netip.Addr{}, ErrClosed})
	err := closed
	n.event(func(time.Time) {
		if err = n.core.passive(ct); err == nil {
			n.relay.Add(relay.Contact{Address: ct.Address, ContactNodes: ct.ContactNodes, Replicas: ct.Replicas, Direct: ct.Direct, Flows: ct.FlowBindings, Early: true})
		}
	})
	if err != nil {
		return nil, err
	}
	if slices.Contains(ct.ContactNodes, n.cfg.CareOf) {
		// The home agent may believe that we are contact node, from a former life:
		// what it sends here must not meet a host that knows no connection.
		n.relay.Collect(ctx, ct.Address)
	}
	err = closed
	n.event(func(time.Time) {
		if n.core.contacts[ct.Address] == nil {
			return // closed meanwhile
		}
		err = nil
		c := dataplane.Contact{Home: ct.Address, CareOf: n.cfg.CareOf, HomeAgent: ct.HomeAgent}
		n.steering(ct, &c)
		if perr := n.put(c); perr != nil {
			n.core.remove(n.deps.Now(), ct.Address)
			n.relay.Remove(ct.Address)
			err = &OpError{"passive", ct.Address, netip.Addr{}, perr}
			return
		}
		if ct.FlowBindings {
			n.flows.Add(flows.Contact{Address: ct.Address, HomeAgent: ct.HomeAgent, Lifetime: ct.HomeLifetime})
		}
	})
	if err != nil {
		return nil, err
	}
	if n.deps.Peers != nil {
		// Clients may be bound here from before, who have connections elsewhere.
		n.tasks.Go(func() { n.relay.Collect(n.background, ct.Address) })
	}
	return &Address{n, ct.Address}, nil
}

// put has the data plane take a contact address. What others have of it is relayed
// before a packet can meet this host, which knows none of the connections.
func (n *Node) put(c dataplane.Contact) error {
	absent := c
	absent.Absent, absent.Steer = true, dataplane.Ports{}
	if err := n.deps.Plane.SetContact(absent); err != nil {
		return err
	}
	n.relay.Ready(c.Home)
	if err := n.deps.Plane.SetContact(c); err != nil {
		return errors.Join(err, n.deps.Plane.RemoveContact(c.Home))
	}
	return nil
}

// Ready is when the client may be told of a new care-of address: now, or a
// little later if it was told too often of late (MAX_UPDATE_RATE, RFC 6275 §12).
// A handoff that begins before would keep the client waiting.
func (a *Address) Ready(client netip.Addr) time.Time {
	a.node.mu.Lock()
	defer a.node.mu.Unlock()
	return a.node.core.list.Allowed(a.node.deps.Now(), client)
}

// Close clears the clients' bindings, deletes the home registration and takes the
// address off the host. Whatever it returns, the address is off; what could not
// be cleared in time is a *LeftError, and expires by itself.
func (a *Address) Close(ctx context.Context) error {
	n := a.node
	errs := []error{a.clearAll(ctx)}
	n.flows.Remove(ctx, a.home)
	_, err := n.wait(ctx, n.cfg.RegisterTimeout, func(now time.Time, id opID) {
		n.core.deregister(now, id, a.home)
	})
	errs = append(errs, left(err))
	n.event(func(now time.Time) {
		if n.core.contacts[a.home] == nil {
			return
		}
		n.core.remove(now, a.home)
		n.relay.Remove(a.home)
		if err := n.deps.Plane.RemoveContact(a.home); err != nil {
			errs = append(errs, &OpError{"close", a.home, netip.Addr{}, err})
		}
	})
	return errors.Join(errs...)
}

// clearAll deletes all bindings at once.
func (a *Address) clearAll(ctx context.Context) error {
	n := a.node
	n.mu.Lock()
	var clients []netip.Addr
	for _, cl := range n.core.sortedClients(a.home) {
		if n.core.bound(cl) {
			clients = append(clients, cl.Client)
		}
	}
	n.mu.Unlock()
	errs := make([]error, len(clients))
	var wg sync.WaitGroup
	for i, client := range clients {
		wg.Go(func() {
			err := a.Clear(ctx, client)
			if errors.Is(err, ErrNotCeded) {
				err = errors.Join(err, left(a.clear(ctx, client)))
			}
			errs[i] = left(err)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/vanycast/vanycast/api"
	"github.com/vanycast/vanycast/api/wire"
	"github.com/vanycast/vanycast/conf"
	"github.com/vanycast/vanycast/mipv6/esp"
	"github.com/vanycast/vanycast/mipv6/ipsec"
	"github.com/vanycast/vanycast/mipv6/ipsec/keyfile"
	"github.com/vanycast/vanycast/peer"
)

var _ api.KeyKeeper = (*host)(nil)

// keysTimeout bounds the passing on of keys to one replica.
const keysTimeout = 5 * time.Second

// maxDeliveries bounds one request: as many calls go out at once.
const maxDeliveries = 1024

// Keys implements api.KeyKeeper.
func (d *host) Keys() (out []wire.Key) {
	if d.ipsec == nil {
		return nil
	}
	for _, s := range d.ipsec.State() {
		k := wire.Key{
			Contact: s.Pair.Home, CareOf: s.Pair.CareOf, HomeAgent: s.Pair.HomeAgent, Side: string(conf.RoleReplica),
			Generation: s.Number, Algorithm: string(s.Algorithm), SPIs: byName(s.SPIs), Sent: byName(s.Sent), Received: byName(s.Received),
			Sending: s.Sending, Heard: s.Heard,
		}
		if s.Side == ipsec.HomeAgent {
			k.Side = string(conf.RoleHomeAgent)
		}
		out = append(out, k)
	}
	return out
}

func byName(m map[ipsec.Purpose]uint32) map[string]uint32 {
	out := make(map[string]uint32, len(m))
	for p, n := range m {
		out[p.String()] = n
	}
	return out
}

// RollKeys implements api.KeyKeeper.
func (d *host) RollKeys(r wire.RollKeys) ([]wire.KeyDelivery, error) {
	if d.ipsec == nil || d.homeAgent == nil {
		return nil, fmt.Errorf("%w: keys are rolled at the home agent", api.ErrNoKeys)
	}
	deliveries, err := d.ipsec.Roll(time.Now(), ipsec.Which{Home: r.Contact, CareOf: r.CareOf}, esp.Algorithm(r.Algorithm))
	out := make([]wire.KeyDelivery, len(deliveries))
	for i, v := range deliveries {
		out[i] = wire.KeyDelivery{
			Contact: v.Pair.Home, CareOf: v.Pair.CareOf, HomeAgent: v.Pair.HomeAgent,
			Keys: string(keyfile.Format([]ipsec.Generation{v.Generation})),
		}
	}
	if err == nil && len(out) == 0 {
		err = fmt.Errorf("%w: no [[ipsec]] here is asked for, or those that are have no keys: name their care_of to give them some", api.ErrNoKeys)
	}
	return out, err
}

// RevokeKeys implements api.KeyKeeper. What the replica has registered ends as
// well.
func (d *host) RevokeKeys(r wire.RevokeKeys) ([]wire.RevokedKey, error) {
	if d.ipsec == nil || d.homeAgent == nil {
		return nil, fmt.Errorf("%w: keys are revoked at the home agent", api.ErrNoKeys)
	}
	pairs, err := d.ipsec.Revoke(r.CareOf)
	var out []wire.RevokedKey
	for _, p := range pairs {
		out = append(out, wire.RevokedKey{Contact: p.Home, CareOf: p.CareOf, Registered: d.homeAgent.Revoke(p.Home, p.CareOf)})
	}
	if errors.Is(err, ipsec.ErrNoPair) {
		err = fmt.Errorf("%w: %w", api.ErrNoKeys, err)
	}
	return out, err
}

// LoadKeys implements api.KeyKeeper: keys of this replica are taken up, those of
// other contact nodes go to them over the replicas' channel, and nowhere else.
func (d *host) LoadKeys(ctx context.Context, list []wire.KeyDelivery) []wire.KeyLoaded {
	out := make([]wire.KeyLoaded, len(list))
	var wg sync.WaitGroup
	for i, v := range list {
		out[i] = wire.KeyLoaded{Contact: v.Contact, CareOf: v.CareOf}
		if i >= maxDeliveries {
			out[i].Error = fmt.Sprintf("more than %d at once", maxDeliveries)
			continue
		}
		wg.Go(func() {
			delivery, err := keyfile.NewDelivery(ipsec.Pair{Home: v.Contact, CareOf: v.CareOf, HomeAgent: v.HomeAgent}, []byte(v.Keys))
			if err == nil {
				err = d.deliverKeys(ctx, delivery)
			}
			if err != nil {
				out[i].Error = err.Error()
			}
		})
	}
	wg.Wait()
	return out
}

// deliverKeys takes keys up, or gives them to the contact node that they are for.
func (d *host) deliverKeys(ctx context.Context, v ipsec.Delivery) error {
	if d.replica == nil {
		return errors.New("keys are loaded at a replica")
	}
	if v.Pair.CareOf == d.careOf() {
		return d.installKeys(v)
	}
	for _, replica := range []netip.Addr{d.careOf(), v.Pair.CareOf} {
		if !d.contactNode(v.Pair.Home, replica) {
			return fmt.Errorf("%v is no contact node of %v here", replica, v.Pair.Home)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, keysTimeout)
	defer cancel()
	_, err := d.replica.peers.Call(ctx, v.Pair.CareOf, peer.KindKeys, keyfile.MarshalDelivery(v))
	return err
}

// handleKeys takes keys for this replica from another contact node.
func (d *host) handleKeys(_ context.Context, from netip.Addr, req []byte) ([]byte, error) {
	v, err := keyfile.ParseDelivery(req)
	if err != nil {
		return nil, err
	}
	if !d.contactNode(v.Pair.Home, from) {
		return nil, fmt.Errorf("%v is no contact node of %v", from, v.Pair.Home)
	}
	return nil, d.installKeys(v)
}

func (d *host) installKeys(v ipsec.Delivery) error {
	if d.ipsec == nil {
		return errors.New("this replica has no [[ipsec]]")
	}
	return d.ipsec.Install(v)
}

// contactNode tells whether a replica may be contact node for a contact address.
func (d *host) contactNode(contact, replica netip.Addr) bool {
	s := d.cfg.ServiceAt(contact)
	return s != nil && slices.Contains(s.ContactNodes, replica)
}

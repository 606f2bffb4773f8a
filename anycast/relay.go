package anycast

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/vanycast/vanycast/mipv6/rr"
	"github.com/vanycast/vanycast/peer"
)

// Relay gets home tests made by the contact node (thesis §3.2.2).
type Relay interface {
	// HomeTest asks contactNode for a home keygen token of client. Errors:
	// ErrNoMobileIPv6 and ErrNotContactNode, wrapped, as the contact node said;
	// anything else means that it could not be asked or could not help.
	HomeTest(ctx context.Context, contactNode, contact, client netip.Addr) (rr.HomeToken, error)
}

// Refresher is a Relay that can also hand on Binding Refresh Requests.
type Refresher interface {
	// Refresh tells node that client asks for its binding to be refreshed; true
	// if the client is served there.
	Refresh(ctx context.Context, node, contact, client netip.Addr) (bool, error)
}

// Caller is the replicas' secure channel: *peer.Node.
type Caller interface {
	Call(ctx context.Context, to netip.Addr, kind peer.Kind, req []byte) ([]byte, error)
}

// PeerRelay is a Relay and a Refresher over the replicas' channel. The other end
// is Node.HandleHomeTest and Node.HandleRefresh.
type PeerRelay struct {
	caller Caller
	now    func() time.Time
}

// RelayOver makes a PeerRelay.
func RelayOver(caller Caller) *PeerRelay { return &PeerRelay{caller, time.Now} }

// HomeTest implements Relay.
func (r *PeerRelay) HomeTest(ctx context.Context, contactNode, contact, client netip.Addr) (rr.HomeToken, error) {
	b, err := r.caller.Call(ctx, contactNode, peer.KindHomeTest, marshalRequest(pair{Home: contact, Client: client}))
	if err != nil {
		return rr.HomeToken{}, fmt.Errorf("ask %v: %w", contactNode, err)
	}
	t, err := parseAnswer(r.now(), b)
	if err != nil {
		return rr.HomeToken{}, fmt.Errorf("%v says: %w", contactNode, err)
	}
	return t, nil
}

// Refresh implements Refresher.
func (r *PeerRelay) Refresh(ctx context.Context, node, contact, client netip.Addr) (bool, error) {
	b, err := r.caller.Call(ctx, node, peer.KindRefresh, marshalRequest(pair{Home: contact, Client: client}))
	if err != nil {
		return false, fmt.Errorf("tell %v: %w", node, err)
	}
	if len(b) != 1 || b[0] > 1 {
		return false, fmt.Errorf("anycast: decode answer of %v: % x", node, b)
	}
	return b[0] == 1, nil
}

// hedge is how long the first contact node is waited for before the next is
// asked as well: more than an answer takes, less than anybody wants to wait for
// a dead one.
const hedge = 1500 * time.Millisecond

// askNodes asks the nodes, each a while after the one before or as soon as that
// one could not help. The first token counts, and the first word that the client
// has no Mobile IPv6. It returns the node that gave it.
func askNodes(ctx context.Context, r Relay, p pair, nodes []netip.Addr) (netip.Addr, rr.HomeToken, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // the others need not go on
	type answer struct {
		node  netip.Addr
		token rr.HomeToken
		err   error
	}
	answers := make(chan answer, len(nodes))
	var errs []error
	timer := time.NewTimer(0)
	defer timer.Stop()
	for asked := 0; ; {
		var more <-chan time.Time
		if asked < len(nodes) {
			more = timer.C
		} else if len(errs) == asked {
			return netip.Addr{}, rr.HomeToken{}, fmt.Errorf("%w: %w", ErrNoHomeTest, errors.Join(errs...))
		}
		select {
		case <-more:
			node := nodes[asked]
			asked++
			timer.Reset(hedge)
			go func() {
				t, err := r.HomeTest(ctx, node, p.Home, p.Client)
				answers <- answer{node, t, err}
			}()
		case a := <-answers:
			if a.err == nil || errors.Is(a.err, ErrNoMobileIPv6) {
				return a.node, a.token, a.err
			}
			errs = append(errs, a.err)
			timer.Reset(0)
		}
	}
}

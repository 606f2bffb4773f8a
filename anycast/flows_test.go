package anycast

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/dataplane/planetest"
	"github.com/vanycast/vanycast/mipv6/mhsock/mhtest"
	"github.com/vanycast/vanycast/peer"
	"github.com/vanycast/vanycast/relay/flows"
)

// The contact node registers with a Binding Identifier, unless that is switched off,
// and learns from each acknowledgement whether the home agent knows the option; a
// refusal says nothing.
func TestContactNodeLearnsOfFlowBindings(t *testing.T) {
	for _, on := range []bool{true, false} {
		w := newWorld(t)
		w.passive(Contact{Address: contactAddr, HomeAgent: homeAgent, FlowBindings: on})
		w.core.activate(w.now, w.id(), contactAddr, nil)
		ct := w.core.contacts[contactAddr]
		bu := w.core.take()[0].(sendAction).message.(*mipv6.BindingUpdate)
		id, has := mipv6.FindOption[*mipv6.BindingIdentifier](bu)
		if has != on || has && (id.ID != flows.BindingID(w.core.cfg.careOf) || id.Priority != contactPriority || id.Home) {
			t.Fatalf("switched on: %v, registers with %+v", on, id)
		}
		if !on {
			continue
		}
		other := *id
		other.ID++
		for _, ack := range []struct {
			option mipv6.Option
			want   bool
		}{{id, true}, {&mipv6.RefreshAdvice{Interval: mipv6.TimeUnit}, false}, {&other, false}, {id, true}} {
			w.core.homeAcknowledged(w.now, ct, &mipv6.BindingAcknowledgement{Sequence: bu.Sequence, Lifetime: bu.Lifetime, Options: []mipv6.Option{ack.option}})
			if ct.flows != ack.want {
				t.Errorf("after %+v the home agent takes flow bindings: %v", ack.option, ct.flows)
			}
			w.now = w.now.Add(time.Second) // MAX_UPDATE_RATE
			w.core.refreshHome(w.now, ct)
			w.core.take()
			u, _ := w.core.list.Get(ct.target())
			bu.Sequence = u.Sequence
		}
		w.core.homeAcknowledged(w.now, ct, &mipv6.BindingAcknowledgement{Status: mipv6.StatusReasonUnspecified, Sequence: bu.Sequence})
		if !ct.flows {
			t.Error("a refusal counts")
		}
	}
}

// direct calls another node's handler.
type direct struct{ to *Node }

func (d direct) Call(ctx context.Context, _ netip.Addr, kind peer.Kind, req []byte) ([]byte, error) {
	if kind != peer.KindFlows {
		return nil, peer.ErrUnreachable
	}
	return d.to.HandleFlows(ctx, reich, req)
}

// A replica asks the contact node, and nobody else answers.
func TestFlowsQuestion(t *testing.T) {
	network := mhtest.NewNetwork()
	node := func(careOf netip.Addr, peers Caller) *Node {
		n, err := New(Config{CareOf: careOf}, Deps{Plane: planetest.New(), MH: network.Host(careOf), Peers: peers})
		must(t, err)
		_, err = n.Passive(t.Context(), Contact{Address: contactAddr, HomeAgent: homeAgent, ContactNodes: []netip.Addr{glass}, FlowBindings: true})
		must(t, err)
		return n
	}
	contact := node(glass, nil)
	asker := node(reich, direct{contact})
	if _, err := asker.takesFlows(t.Context(), contactAddr); !errors.Is(err, ErrNotContactNode) {
		t.Errorf("before it is contact node: %v", err)
	}
	contact.core.contacts[contactAddr].active = true
	for _, want := range []bool{false, true} {
		contact.core.contacts[contactAddr].flows = want
		if got, err := asker.takesFlows(t.Context(), contactAddr); err != nil || got != want {
			t.Errorf("answer %v, %v, want %v", got, err, want)
		}
	}
	if _, err := contact.takesFlows(t.Context(), contactAddr); !errors.Is(err, ErrNotContactNode) {
		t.Errorf("the contact node asks itself: %v", err)
	}
	for _, bad := range [][]byte{nil, {1}, append([]byte{2}, contactAddr.AsSlice()...), make([]byte, 18)} {
		if b, err := contact.HandleFlows(t.Context(), reich, bad); err == nil {
			t.Errorf("question % x answered % x", bad, b)
		}
	}
	contact.core.contacts[contactAddr].active = false
	contact.flows.Close()
	asker.flows.Close()
}

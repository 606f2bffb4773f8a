package roles

import (
	"net/netip"
	"testing"
	"time"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/mipv6/rr"
	"github.com/vanycast/vanycast/tests/lab"
	"github.com/vanycast/vanycast/tests/station"
)

var contact, agent = station.Contact, station.Agent

// node is a mobile node by hand.
type node struct {
	*station.Station
	t *testing.T
}

func newNode(t *testing.T, h *lab.Host) *node {
	t.Helper()
	return &node{station.New(t, h), t}
}

// send sends a message of the mobile node, as it is away from home: with a Home
// Address option if it is a Binding Update, else bare from src.
func (n *node) send(src, dst netip.Addr, m mipv6.Message, mac func([]byte) mipv6.Authenticator) {
	n.t.Helper()
	p := &mipv6.Packet{Src: src, Dst: dst}
	if m.Type() == mipv6.TypeBindingUpdate {
		p.HomeAddress = contact
	}
	if err := p.Carry(m, mac); err != nil {
		n.t.Fatal(err)
	}
	if err := n.Conn.Send(p); err != nil {
		n.t.Fatal(err)
	}
}

// receive is the next message from a peer to one of the mobile node's
// addresses.
func receive[M mipv6.Message](n *node, from, to netip.Addr) (M, []byte) {
	n.t.Helper()
	for {
		r, err := n.Conn.Receive(n.t.Context())
		if err != nil {
			n.t.Fatalf("%s waits for %T: %v", n.Host.Name(), *new(M), err)
		}
		m, err := mipv6.Parse(r.Message)
		if err != nil {
			n.t.Fatal(err)
		}
		if got, ok := m.(M); ok && r.Src == from && r.Dst == to {
			return got, r.Message
		}
		n.t.Logf("%s: %v from %v to %v passed over", n.Host.Name(), m.Type(), r.Src, r.Dst)
	}
}

// register makes the node the one that the home agent tunnels to.
func (n *node) register(seq uint16) {
	n.t.Helper()
	n.send(n.Addr, agent, &mipv6.BindingUpdate{Sequence: seq, Acknowledge: true, HomeRegistration: true, Lifetime: 600 * time.Second,
		Options: []mipv6.Option{&mipv6.AlternateCareOf{Addr: n.Addr}}}, nil)
	ack, _ := receive[*mipv6.BindingAcknowledgement](n, agent, contact)
	if ack.Status != mipv6.StatusAccepted || ack.Sequence != seq {
		n.t.Fatalf("home agent answers %+v", ack)
	}
}

// contactHere declares the contact address on the node.
func (n *node) contactHere() {
	n.t.Helper()
	if err := n.Plane.SetContact(dataplane.Contact{Home: contact, CareOf: n.Addr, HomeAgent: agent}); err != nil {
		n.t.Fatal(err)
	}
}

// homeTest is the home half of return routability: only through the home agent.
func (n *node) homeTest(peer netip.Addr) rr.HomeToken {
	n.t.Helper()
	cookie := mipv6.Cookie{'h', 'o', 'm', 'e'}
	n.send(contact, peer, &mipv6.HomeTestInit{Cookie: cookie}, nil)
	m, _ := receive[*mipv6.HomeTest](n, peer, contact)
	if m.Cookie != cookie {
		n.t.Fatalf("cookie %x", m.Cookie)
	}
	return rr.HomeToken{Token: m.Token, NonceIndex: m.NonceIndex, Received: time.Now()}
}

// bind binds the peer to this node, or with lifetime zero deletes the
// binding.
func (n *node) bind(peer netip.Addr, home rr.HomeToken, seq uint16, lifetime time.Duration) {
	n.t.Helper()
	n.send(n.Addr, peer, &mipv6.CareOfTestInit{Cookie: mipv6.Cookie{'c'}}, nil)
	m, _ := receive[*mipv6.CareOfTest](n, peer, n.Addr)
	keys := rr.Keys{Home: home, CareOf: rr.CareOfToken{Token: m.Token, NonceIndex: m.NonceIndex, Received: time.Now()}}
	key, covered := keys.Kbm(), n.Addr
	if lifetime == 0 {
		key, covered = keys.KbmDelete(), contact
	}
	n.send(n.Addr, peer, &mipv6.BindingUpdate{Sequence: seq, Acknowledge: true, Lifetime: lifetime, Options: []mipv6.Option{keys.NonceIndices()}},
		func(d []byte) mipv6.Authenticator { return rr.Authenticate(key, covered, peer, d) })
	ack, raw := receive[*mipv6.BindingAcknowledgement](n, peer, contact)
	data, a, err := mipv6.AuthenticatorInput(raw)
	if err != nil || !rr.Authentic(a, key, covered, peer, data) {
		n.t.Fatalf("acknowledgement %+v is not authentic: %v", ack, err)
	}
	if ack.Status != mipv6.StatusAccepted || ack.Sequence != seq {
		n.t.Fatalf("%v answers %+v", peer, ack)
	}
}

func (n *node) optimise(peer netip.Addr) {
	n.t.Helper()
	if err := n.Plane.SetRoute(dataplane.Flow{Home: contact, Client: peer}, dataplane.Route{Kind: dataplane.Optimised}); err != nil {
		n.t.Fatal(err)
	}
}

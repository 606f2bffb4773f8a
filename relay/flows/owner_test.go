package flows

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/bindings"
	"github.com/vanycast/vanycast/relay"
)

// network is three replicas and their home agent: updates and acknowledgements on
// the way between them are lost, delayed and overtake each other.
type network struct {
	t        *rapid.T
	now      time.Time
	replicas []*core
	further  *bindings.Further
	wire     []func()
	bound    []map[relay.Conn]bool // what each replica believes
}

func newNetwork(t *rapid.T) *network {
	n := &network{t: t, now: start, further: bindings.NewFurther(bindings.FurtherConfig{})}
	for i := range 3 {
		c := newCore(netip.MustParseAddr(fmt.Sprintf("2001:db8:%d::10", i+1)), func() uint16 { return uint16(i) * 20000 })
		c.add(Contact{Address: netip.MustParseAddr(home), HomeAgent: netip.MustParseAddr(agent), Lifetime: time.Minute})
		n.replicas, n.bound = append(n.replicas, c), append(n.bound, map[relay.Conn]bool{})
	}
	return n
}

// turn lets every replica do what is due; what it sends is put on the wire.
func (n *network) turn() {
	for i, c := range n.replicas {
		for again := true; again; {
			c.poll(n.now)
			again = false
			for _, a := range c.take() {
				switch a := a.(type) {
				case askAction:
					c.answered(n.now, a.contact, true, nil)
					again = true
				case sendAction:
					n.wire = append(n.wire, func() { n.arrive(i, a.message) })
				case boundAction:
					n.bound[i][a.conn] = a.bound
				}
			}
		}
	}
}

// arrive is an update at the home agent.
func (n *network) arrive(i int, m *mipv6.BindingUpdate) {
	c := n.replicas[i]
	id, _ := mipv6.FindOption[*mipv6.BindingIdentifier](m)
	r := bindings.FurtherRequest{FurtherKey: bindings.FurtherKey{Home: netip.MustParseAddr(home), ID: id.ID},
		CareOf: c.careOf, Sequence: m.Sequence, Lifetime: m.Lifetime}
	for _, o := range mipv6.FindOptions[*mipv6.FlowIdentification](m) {
		r.Flows = append(r.Flows, bindings.FlowBinding{ID: o.ID, Priority: o.Priority, Flow: bindings.Flow{
			Client: o.Selector.Source.Start, HomePort: o.Selector.DestinationPort.Start, ClientPort: o.Selector.SourcePort.Start}})
	}
	for _, o := range mipv6.FindOptions[*mipv6.FlowSummary](m) {
		r.Keep = append(r.Keep, o.IDs...)
	}
	n.further.Poll(n.now)
	res := n.further.Update(n.now, r)
	ack := &mipv6.BindingAcknowledgement{Status: res.Status, Sequence: res.Sequence, Lifetime: res.Lifetime,
		Options: []mipv6.Option{&mipv6.BindingIdentifier{ID: id.ID, Priority: id.Priority}}}
	for _, f := range res.Flows {
		ack.Options = append(ack.Options, &mipv6.FlowIdentification{ID: f.ID, Priority: f.Priority, Status: f.Status})
	}
	n.wire = append(n.wire, func() { c.acknowledgement(n.now, netip.MustParseAddr(home), netip.MustParseAddr(agent), ack) })
}

// deliver has one packet of the wire arrive, any of them.
func (n *network) deliver() {
	if len(n.wire) == 0 {
		return
	}
	i := rapid.IntRange(0, len(n.wire)-1).Draw(n.t, "packet")
	arrive := n.wire[i]
	n.wire = append(n.wire[:i], n.wire[i+1:]...)
	arrive()
}

// Whatever is lost and whatever comes late: a connection's packets never go to a
// replica that says it has given the connection up to one whose claim the home agent
// knows; and when the network is well again they go to the newest owner.
func TestOneOwner(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := newNetwork(t)
		conns := []relay.Conn{conn(1), conn(2)}
		owner, number := map[relay.Conn]int{}, map[relay.Conn]uint16{}
		for _, c := range conns {
			owner[c], number[c] = -1, uint16(rapid.IntRange(65530, 65540).Draw(t, "first number"))
		}
		for range rapid.IntRange(5, 60).Draw(t, "steps") {
			c := conns[rapid.IntRange(0, 1).Draw(t, "connection")]
			switch rapid.IntRange(0, 8).Draw(t, "what") {
			case 0: // handed off, as the relay decided; the donor may hear of it late
				to := rapid.IntRange(0, 2).Draw(t, "acceptor")
				if from := owner[c]; from >= 0 && from != to && rapid.Bool().Draw(t, "donor knows") {
					n.replicas[from].unwant(n.now, c)
					n.bound[from][c] = false
				}
				owner[c], number[c] = to, number[c]+1
				n.replicas[to].want(n.now, c, number[c])
			case 1:
				if len(n.wire) > 0 {
					n.wire = n.wire[1:] // lost
				}
			case 2:
				n.now = n.now.Add(time.Duration(rapid.IntRange(1, 30000).Draw(t, "ms")) * time.Millisecond)
			case 3: // the home agent is restarted
				n.further = bindings.NewFurther(bindings.FurtherConfig{})
			default:
				n.deliver()
			}
			n.turn()
			for c, to := range n.further.Flows(netip.MustParseAddr(home)) {
				for i, r := range n.replicas {
					cc := relay.Conn{Contact: netip.AddrPortFrom(netip.MustParseAddr(home), c.HomePort), Client: netip.AddrPortFrom(c.Client, c.ClientPort)}
					if i != owner[cc] && to == r.careOf && owner[cc] >= 0 && n.claims(owner[cc], c, ^number[cc]) {
						t.Fatalf("%v goes to %v although its owner's claim is there", cc, to)
					}
				}
			}
		}
		for c, i := range owner { // all donors have heard
			for j, r := range n.replicas {
				if j != i {
					r.unwant(n.now, c)
				}
			}
		}
		for range 900 { // longer than every lifetime and pause
			n.now = n.now.Add(500 * time.Millisecond)
			n.turn()
			for len(n.wire) > 0 {
				first := n.wire[0]
				n.wire = n.wire[1:]
				first()
				n.turn()
			}
		}
		n.further.Poll(n.now)
		got := n.further.Flows(netip.MustParseAddr(home))
		for c, i := range owner {
			f := bindings.Flow{Client: c.Client.Addr(), HomePort: c.Contact.Port(), ClientPort: c.Client.Port()}
			if i >= 0 && (got[f] != n.replicas[i].careOf || !n.bound[i][c]) {
				t.Fatalf("%v goes to %v, want %v, which believes %v", c, got[f], n.replicas[i].careOf, n.bound[i][c])
			}
			if i < 0 && got[f].IsValid() {
				t.Fatalf("%v goes to %v, nobody wants it", c, got[f])
			}
		}
	})
}

// claims tells whether the home agent has a replica's claim with that priority: then
// its removal gives the flow to somebody else.
func (n *network) claims(i int, f bindings.Flow, priority uint16) bool {
	return n.further.Claims(bindings.FurtherKey{Home: netip.MustParseAddr(home), ID: n.replicas[i].id}, f, priority)
}

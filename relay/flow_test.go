package relay

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// flowsAsked records what is wanted at the home agent.
type flowsAsked map[Conn]uint16

func (f flowsAsked) Want(c Conn, sequence uint16) { f[c] = sequence }
func (f flowsAsked) Unwant(c Conn)                { delete(f, c) }

func withFlows(all []seamed) (asked []flowsAsked) {
	for _, s := range all {
		f := flowsAsked{}
		s.cfg.Flows = f
		s.contacts[seamConn.Contact.Addr()].Flows = true
		asked = append(asked, f)
	}
	return asked
}

// The owner, and nobody else, asks for a flow binding, once it owns the connection
// and not while that is in doubt. With it, what it sends goes to the home agent, and
// what the anchor still relays is taken; without, all is as before.
func TestFlowFollowsOwner(t *testing.T) {
	now := time.Unix(1000, 0)
	nodes := seamNet(t, &now, seamAnchor, seamDonor, seamAcceptor)
	asked := withFlows(nodes)
	anchor, donor, acceptor := nodes[0], nodes[1], nodes[2]
	wanted := func(when string, who int, number uint16) {
		t.Helper()
		for i, f := range asked {
			got, ok := f[seamConn]
			if ok != (i == who) || ok && got != number {
				t.Errorf("%s: replica %d wants a flow binding: %v, number %d", when, i, ok, got)
			}
		}
	}

	m, err := anchor.Mark(seamConn)
	ok(t, err)
	wanted("at the anchor", -1, 0)
	ok(t, donor.Start(t.Context(), seamConn, m))
	wanted("started", 1, m.Sequence+1)
	donor.is(t, "relayed by 2001:db8:1::10")
	donor.SetFlow(seamConn, true)
	donor.is(t, "tunnelled and relayed by 2001:db8:1::10")
	anchor.is(t, "relay to 2001:db8:2::10 via tunnelled")

	// It is to move: by the anchor, which can turn to another, before it is known to whom.
	m, err = donor.Mark(seamConn)
	ok(t, err)
	wanted("marked", -1, 0)
	donor.is(t, "relayed by 2001:db8:1::10")
	donor.SetFlow(seamConn, true) // an acknowledgement that comes late
	donor.is(t, "relayed by 2001:db8:1::10")

	// The handoff came to nothing: after a while as before.
	now = now.Add(markHold)
	donor.sweep()
	wanted("not handed off", 1, m.Sequence)

	m, err = donor.Mark(seamConn)
	ok(t, err, acceptor.Start(t.Context(), seamConn, m))
	donor.Finish(seamConn)
	wanted("handed off", 2, m.Sequence+1)
	acceptor.SetFlow(seamConn, true)
	acceptor.is(t, "tunnelled and relayed by 2001:db8:1::10")
	ok(t, acceptor.Hold(seamConn))
	wanted("held", -1, 0)
	ok(t, acceptor.Unhold(seamConn))
	wanted("no longer held", 2, m.Sequence+1)
	acceptor.is(t, "relayed by 2001:db8:1::10")

	// The home agent has it no more.
	acceptor.SetFlow(seamConn, true)
	acceptor.SetFlow(seamConn, false)
	acceptor.is(t, "relayed by 2001:db8:1::10")

	// Bound to the client, it goes another way.
	acceptor.SetBound(seamConn.Contact.Addr(), seamConn.Client.Addr(), true)
	wanted("bound", -1, 0)
	acceptor.SetBound(seamConn.Contact.Addr(), seamConn.Client.Addr(), false)
	wanted("perhaps another's", -1, 0)
	now = now.Add(seamLinger)
	acceptor.cfg.InUse = func(Conn) bool { return true }
	acceptor.sweep()
	wanted("no longer bound", 2, m.Sequence+1)

	// A lease that was not renewed may be another's.
	anchor.SetContactNode(seamConn.Contact.Addr(), seamDonor)
	delete(acceptor.deps.Peers.(neighbour).net, seamAnchor)
	now = now.Add(2 * DefaultLifetime)
	acceptor.resumeFlow(seamConn)
	wanted("lapsed", -1, 0)
	acceptor.Remove(seamConn.Contact.Addr())
	wanted("removed", -1, 0)
}

// While a handoff's packets may still come from the donor, they, the anchor's and
// the home agent's are all taken.
func TestFlowDuringSeam(t *testing.T) {
	now := time.Unix(1000, 0)
	nodes := seamNet(t, &now, seamAnchor, seamDonor, seamAcceptor)
	withFlows(nodes)
	anchor, acceptor := nodes[0], nodes[2]
	m, err := anchor.Mark(seamConn)
	ok(t, err, acceptor.Expect(seamConn, seamDonor, true), acceptor.Start(t.Context(), seamConn, m), acceptor.Open(seamConn, seamDonor))
	acceptor.is(t, "relayed by 2001:db8:1::10, accepts from 2001:db8:2::10")
	acceptor.SetFlow(seamConn, true)
	acceptor.is(t, "tunnelled and relayed by 2001:db8:1::10, accepts from 2001:db8:2::10")
	// Handed on again: what comes is sent to the next one, from wherever it comes.
	ok(t, acceptor.Divert(seamConn, seamDonor))
	acceptor.is(t, "relay to 2001:db8:2::10 via tunnelled, accepts from 2001:db8:1::10")
	ok(t, acceptor.Undo(seamConn))
	acceptor.is(t, "tunnelled and relayed by 2001:db8:1::10")
}

// One that was steered is not settled before its anchor has heard that it is there:
// a SYN is nothing to tell a home agent.
func TestFlowOfSteered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTrio(t, 0)
		var mu sync.Mutex
		asked := map[Conn]bool{}
		n := g.nodes[reich]
		n.cfg.Flows = &flowsLocked{&mu, asked}
		n.mu.Lock()
		n.contacts[contactAddr].Flows = true
		n.mu.Unlock()
		wanted := func(when string, c Conn, want bool) {
			t.Helper()
			mu.Lock()
			defer mu.Unlock()
			if asked[c] != want {
				t.Errorf("%s: %v", when, asked[c])
			}
		}
		g.steer(t, connOf(1), reich)
		g.steer(t, connOf(2), reich)
		time.Sleep(time.Second)
		wanted("half-open", connOf(1), false)
		g.accept(t, connOf(1), reich)
		wanted("not told", connOf(1), false)
		time.Sleep(time.Second)
		wanted("told", connOf(1), true)
		wanted("never opened", connOf(2), false)
		n.SetBound(contactAddr, legacy, true)
		wanted("bound", connOf(1), false)
		time.Sleep(time.Minute)
		wanted("bound for long", connOf(1), false)
	})
}

// flowsLocked is flowsAsked for nodes that run.
type flowsLocked struct {
	mu    *sync.Mutex
	asked map[Conn]bool
}

func (f *flowsLocked) Want(c Conn, _ uint16) { f.set(c, true) }
func (f *flowsLocked) Unwant(c Conn)         { f.set(c, false) }

func (f *flowsLocked) set(c Conn, on bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked[c] = on
}

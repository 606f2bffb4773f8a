package conformance

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/mipv6/mhsock"
	"github.com/vanycast/vanycast/tests/lab"
)

// Tunnel.Protect: Mobility Headers to the home address are the signalling's to
// send on, those that the mobile node tunnels in clear are dropped, all else
// passes as before; and ESP with a Home Address option reaches the signalling
// without a binding (RFC 3776 §3.2). A backend that leaves this to its kernel is
// no dataplane.Taker and has nothing to show here.
func testProtect(t *testing.T, b Backend) {
	top := newTopology(t, ordinary(), lab.Wire())
	p := start(t, top, b)
	taker, ok := p.agent.(dataplane.Taker)
	if !ok {
		return
	}
	protected := tunnel
	protected.Protect = true
	must(t, p.agent.SetTunnel(protected), p.replica.SetContact(contact))
	if got := p.agent.State().Tunnels; !slices.Contains(got, protected) {
		t.Errorf("declared tunnels are %+v", got)
	}
	replica, client := openMH(t, top.replica), openMH(t, top.client)

	test := &mipv6.Packet{Src: clientAddr, Dst: contactAddr, HopLimit: 64}
	must(t, test.Carry(&mipv6.HomeTest{Cookie: mipv6.Cookie{1}}, nil), client.Send(test))
	var packet []byte
	select {
	case packet = <-taker.Taken():
	case <-deadline(t).Done():
		t.Fatal("no packet was taken")
	}
	got, err := mipv6.ParsePacket(packet)
	if err != nil {
		t.Fatal(err)
	}
	if got.Src != clientAddr || got.Dst != contactAddr || got.NextHeader != mipv6.ProtocolMobility ||
		!bytes.Equal(got.Payload, test.Payload) || !mipv6.VerifyChecksum(got.Payload, got.Src, got.Dst) {
		t.Errorf("taken: %+v", got)
	}

	// The replica's tunnel, in clear; then the same once more without Protect, to
	// know when the first would have arrived.
	init := &mipv6.Packet{Src: contactAddr, Dst: clientAddr, HopLimit: 64}
	must(t, init.Carry(&mipv6.HomeTestInit{Cookie: mipv6.Cookie{2}}, nil), replica.Send(init))
	waitCounter(t, p.agent, dataplane.CounterDropUnprotected, 1)
	must(t, p.agent.SetTunnel(tunnel))
	must(t, init.Carry(&mipv6.HomeTestInit{Cookie: mipv6.Cookie{3}}, nil), replica.Send(init))
	r, err := client.Receive(deadline(t))
	if err != nil || !bytes.Equal(r.Message, init.Payload) {
		t.Fatalf("received %+v, %v; want the second home test init", r, err)
	}
	if n := p.agent.Counters()[dataplane.CounterMobilityTaken]; n != 1 {
		t.Errorf("%d packets taken, want 1", n)
	}
}

// waitCounter waits until a counter has this value.
func waitCounter(t *testing.T, p dataplane.Plane, name string, want uint64) {
	t.Helper()
	if err := lab.WaitFor(deadline(t), func() error {
		if n := p.Counters()[name]; n != want {
			return fmt.Errorf("counter %s is %d, want %d", name, n, want)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// testESPHomeAddress: ESP with a Home Address option that no binding covers
// comes to the signalling, as a Mobility Header does.
func testESPHomeAddress(t *testing.T, b Backend) {
	top := newTopology(t, ordinary(), lab.Wire())
	p := start(t, top, b)
	if _, ok := p.agent.(dataplane.Taker); !ok {
		return
	}
	replica := openMH(t, top.replica)
	var esp *mhsock.ESP
	if err := top.agent.Do(func() (err error) { esp, err = mhsock.OpenESP(nil); return err }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { must(t, esp.Close()) })
	payload := []byte("a security parameters index and more")
	must(t, replica.Send(&mipv6.Packet{Src: replicaAddr, Dst: agentAddr, HomeAddress: contactAddr, HopLimit: 64, NextHeader: 50, Payload: payload}))
	r, err := esp.Receive(deadline(t))
	if err != nil || r.Src != contactAddr || r.CareOf != replicaAddr || r.Dst != agentAddr || !bytes.Equal(r.Message, payload) {
		t.Errorf("received %+v, %v", r, err)
	}
}

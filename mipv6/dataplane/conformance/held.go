package conformance

import (
	"testing"
	"time"

	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/tests/lab"
)

// A held flow is silent in both directions; its connections live on afterwards.
func testHeld(t *testing.T, b Backend) {
	top := newTopology(t, ordinary(), lab.Wire())
	p := start(t, top, b)
	must(t, p.agent.SetTunnel(tunnel), p.replica.SetContact(contact), p.client.SetBinding(binding))
	optimised := dataplane.Route{Kind: dataplane.Optimised}
	held := dataplane.Route{Kind: dataplane.Held}
	must(t, p.replica.SetRoute(flow, optimised))

	capture(t, top.replica, "eth0", func() {
		conn := connect(t, top.client, clientAddr, top.replica, contactAddr)
		conn.exchange(t, 10_000)
		must(t, p.replica.SetRoute(flow, held))
		noPing(t, top.client, contactAddr)
		noPing(t, top.replica, clientAddr, "-I", contactAddr.String())
		ping(t, top.legacy, contactAddr, 56) // another client's flow

		// What both ends say meanwhile arrives when the hold ends.
		silent := capture(t, top.access, "core", func() {
			write(t, conn.near, "from the client")
			write(t, conn.far, "from the replica")
			if err := conn.near.SetReadDeadline(time.Now().Add(300 * time.Millisecond)); err != nil {
				t.Fatal(err)
			}
			if n, err := conn.near.Read(make([]byte, 64)); err == nil {
				t.Errorf("%d bytes arrived at the client while the flow was held", n)
			}
		})
		count(t, silent, "ipv6.src == 2001:db8:1::10 && ipv6.dst == 2001:db8:a::10", none)
		must(t, p.replica.SetRoute(flow, optimised))
		read(t, conn.far, "from the client")
		read(t, conn.near, "from the replica")
		conn.end(t)
	})
	for _, name := range []string{dataplane.CounterHeldOut, dataplane.CounterHeldIn} {
		counted(t, p.replica, name, nil)
	}
	// Through the tunnel a flow is held in the same way.
	must(t, p.client.RemoveBinding(clientAddr, contactAddr), p.replica.SetRoute(flow, held))
	noPing(t, top.client, contactAddr)
	must(t, p.replica.RemoveRoute(flow))
	ping(t, top.client, contactAddr, 56)
}

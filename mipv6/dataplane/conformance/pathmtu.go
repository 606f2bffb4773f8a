package conformance

import (
	"fmt"
	"testing"

	"github.com/vanycast/vanycast/mipv6/dataplane"
)

// Routers further on refuse packets that are too big, and quote them as they
// were rewritten; TCP must come to know of it and go on, both ways, also where
// what is left for it is less than IPv6's minimum of 1280.
func testPathMTU(t *testing.T, b Backend) {
	for _, c := range []struct {
		kind dataplane.RouteKind
		mtus mtus
		both bool
	}{
		{dataplane.Optimised, mtus{tunnel: 1500, path: 1400}, true},
		{dataplane.Optimised, mtus{tunnel: 1500, path: 1300}, true},
		{dataplane.Optimised, mtus{tunnel: 1500, path: 1280}, true},
		{dataplane.Tunnelled, mtus{tunnel: 1400, path: 1500}, true},
		{dataplane.Tunnelled, mtus{tunnel: 1320, path: 1500}, true},
		// Narrower than that between home agent and replica only what the replica
		// sends gets through: the home agent may not tell a client less than 1280.
		{dataplane.Tunnelled, mtus{tunnel: 1300, path: 1500}, false},
		{dataplane.Tunnelled, mtus{tunnel: 1500, path: 1300}, true},
	} {
		t.Run(fmt.Sprintf("%v/tunnel%d/path%d", c.kind, c.mtus.tunnel, c.mtus.path), func(t *testing.T) {
			top := newTopology(t, c.mtus)
			p := start(t, top, b)
			p.routed(t, c.kind)
			conn := connect(t, top.client, clientAddr, top.replica, contactAddr)
			must(t, transfer(conn.far, conn.near, 500_000))
			if c.both {
				must(t, transfer(conn.near, conn.far, 500_000))
			}
			conn.end(t)
			conn = connect(t, top.replica, contactAddr, top.client, clientAddr)
			must(t, transfer(conn.near, conn.far, 500_000))
			conn.end(t)
		})
	}
}

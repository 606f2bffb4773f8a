package anycast

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/vanycast/vanycast/mipv6/bindings"
)

// evictSample bounds the work of finding an entry to forget.
const evictSample = 64

// evict forgets an idle client: the least recently used of a sample.
func (c *core) evict() bool {
	var oldest *client
	seen := 0
	for _, cl := range c.clients {
		if !c.idle(cl) {
			continue
		}
		if oldest == nil || cl.used.Before(oldest.used) {
			oldest = cl
		}
		if seen++; seen >= evictSample {
			break
		}
	}
	if oldest == nil {
		return false
	}
	c.list.Forget(target(oldest.pair))
	delete(c.clients, oldest.pair)
	return true
}

// idle: nothing is under way and nothing would be lost but memory.
func (c *core) idle(cl *client) bool {
	return cl.op == nil && len(cl.waiters) == 0 && !cl.held && !cl.isGuarded() && !cl.early && !c.bound(cl)
}

func (c *core) bound(cl *client) bool {
	u, ok := c.list.Get(target(cl.pair))
	return ok && u.State == bindings.Bound
}

// sync makes the route of a client what its state says. If that fails, so does
// the operation under way.
func (c *core) sync(cl *client) {
	var id opID
	if cl.op != nil {
		id = cl.op.id
	}
	c.syncFor(id, cl)
}

func (c *core) syncFor(id opID, cl *client) {
	want := routeNone
	switch {
	case cl.held:
		want = routeHeld
	case cl.falling:
	case cl.isGuarded() && !cl.early && !c.bound(cl):
		want = routeSilent
	case cl.isGuarded():
		want = routeGuarded
	case cl.early || c.bound(cl):
		want = routeOptimised
	}
	if want == cl.route {
		return
	}
	cl.route = want
	c.do(routeAction{pair: cl.pair, kind: want, op: id})
}

// routeFailed notes that the data plane did not do what sync wanted: the next
// sync tries again.
func (c *core) routeFailed(p pair) {
	if cl := c.clients[p]; cl != nil {
		cl.route = routeUnknown
	}
}

// sortedClients are all clients of one contact address, or of all if home is
// invalid, in order.
func (c *core) sortedClients(home netip.Addr) []*client {
	all := slices.SortedFunc(maps.Values(c.clients), func(a, b *client) int { return comparePairs(a.pair, b.pair) })
	if !home.IsValid() {
		return all
	}
	return slices.DeleteFunc(all, func(cl *client) bool { return cl.Home != home })
}

func sortClients(all []*client) {
	slices.SortFunc(all, func(a, b *client) int { return comparePairs(a.pair, b.pair) })
}

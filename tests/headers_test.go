package tests

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"github.com/vanycast/vanycast/api/wire"
	"github.com/vanycast/vanycast/tests/cluster"
	"github.com/vanycast/vanycast/tests/lab"
	"github.com/vanycast/vanycast/tests/stream"
)

// fellBack is how many clients the replicas have taken off the short cut.
func (s *site) fellBack(ctx context.Context, t *testing.T) (n uint64) {
	t.Helper()
	for _, name := range lab.Replicas() {
		status, err := s.daemons[name].Status(ctx)
		must(t, err)
		n += status.Counters["anycast.fell_back"] // not there before the first
	}
	return n
}

// dropped fails the test if a filter met nothing.
func dropped(t *testing.T, f *lab.HeaderFilter) {
	t.Helper()
	n, err := f.Dropped()
	must(t, err)
	if n == 0 {
		t.Error("no segment with an extension header was dropped")
	}
}

// A client binds, but of its segments with extension headers none gets through, in
// one direction or both. Its transfer completes all the same, through handoffs.
func TestPathDropsExtensionHeaders(t *testing.T) {
	t.Parallel()
	for name, drop := range map[string]struct{ options, routing bool }{
		"both": {true, true}, "home address option": {options: true}, "type 2 routing header": {routing: true},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := testContext(t, 2*time.Minute)
			const size = 20_000_000
			service := cluster.Service{Name: "stream", NeverSelf: true, Contact: netip.AddrPortFrom(netip.MustParseAddr(lab.ContactAddress), 4000)}
			s := bringUp(ctx, t, cluster.WithServices(service))
			for _, name := range lab.Replicas() {
				_, err := s.StartServer(name, "stream", "-seed", strconv.Itoa(dnSeed), "-size", strconv.Itoa(size), "-every", strconv.Itoa(size/8))
				must(t, err)
			}
			must(t, s.WaitServing(ctx, s.daemons, "stream"))
			filter := s.Router.DropExtensionHeaders("modern", drop.options, drop.routing)
			resets := watchResets(t, s)
			conn, err := dial(ctx, s.Modern, service.Contact)
			must(t, err)
			defer conn.Close()
			sent := make(chan error, 1)
			go func() { sent <- upload(conn, size, stream.Bulk) }()
			got, _, err := download(conn, size)
			if e := <-sent; e != nil {
				t.Error(e)
			}
			must(t, err)
			if want := stream.Sum(dnSeed, size); got.down != want {
				t.Error("what came is not what was sent")
			}
			dropped(t, filter)
			if s.fellBack(ctx, t) == 0 {
				t.Error("no replica noticed")
			}
			resets(ctx)
		})
	}
}

// The path changes while a client is bound, and the client is handed over: its new
// replica binds it too, notices that nothing gets through, and serves it through the
// contact node.
func TestPathBlockedDuringHandoff(t *testing.T) {
	t.Parallel()
	ctx := testContext(t, 2*time.Minute)
	s := bringUp(ctx, t)
	s.echoAt(ctx, t, "glass", "reich", "adams")
	session := s.telnet(ctx, t)
	must(t, session.Say(ctx, "open H"))
	must(t, s.boundTo(ctx, "modern", session.Served))
	must(t, session.Say(ctx, "still open"))
	if n := s.fellBack(ctx, t); n != 0 {
		t.Fatalf("%d clients fell back on an open path", n)
	}
	// What is typed passes; the answer, from the new replica, does not.
	filter := s.Router.DropExtensionHeaders("modern", true, false)
	must(t, session.Say(ctx, "and now H"))
	dropped(t, filter)
	if n := s.fellBack(ctx, t); n != 1 {
		t.Errorf("%d clients fell back, want 1", n)
	}
	must(t, s.unbound(ctx, "modern"))
	for range 3 { // it goes on as a client without Mobile IPv6
		must(t, session.Say(ctx, "and on H"))
	}
	must(t, session.All(ctx, "!", "open /still open/and now /and on /and on /and on /"))
	must(t, session.Quit(ctx))
	if n := s.fellBack(ctx, t); n != 1 {
		t.Errorf("%d clients fell back in the end, want 1", n)
	}
}

// unbound waits until a client's host has no binding.
func (s *site) unbound(ctx context.Context, client string) error {
	return lab.WaitFor(ctx, func() error {
		var bindings []wire.Binding
		if err := s.daemons[client].Get(ctx, wire.PathBindings, &bindings); err != nil {
			return err
		}
		if len(bindings) > 0 {
			return fmt.Errorf("bound still: %+v", bindings)
		}
		return nil
	})
}

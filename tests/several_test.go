package tests

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/vanycast/vanycast/api/wire"
	"github.com/vanycast/vanycast/tests/cluster"
	"github.com/vanycast/vanycast/tests/lab"
	"github.com/vanycast/vanycast/tests/stream"
)

// A client with Mobile IPv6 has one binding for all that it has with the contact
// address. One of its connections moves all the same: the replica that the client
// is bound to relays it, and the others stay where they are.
func TestSeveralConnectionsMoveOneByOne(t *testing.T) {
	ctx := testContext(t, 120*time.Second)
	s := bringUp(ctx, t)
	s.echoAt(ctx, t, "glass", "reich", "adams")
	judge := s.capture(ctx, t, "modern")
	resent := s.resent(ctx, t, "modern")
	sessions, history := s.takeTurns(ctx, t, s.Modern)
	defer s.showBindings(ctx, t)
	for i, session := range sessions {
		must(t, session.All(ctx, "!", history[i]))
		must(t, session.Quit(ctx))
	}
	resent()
	judge()
	s.noFailedHandoffs(ctx, t)
}

// showBindings tells of a test that failed what each replica knew, and what its TCP
// did.
func (s *site) showBindings(ctx context.Context, t *testing.T) {
	if !t.Failed() {
		return
	}
	for _, name := range append(lab.Replicas(), "modern") {
		var all []wire.Binding
		if err := s.daemons[name].Get(ctx, wire.PathBindings, &all); err != nil {
			t.Log(err)
		}
		for _, b := range all {
			t.Logf("%s: %+v", name, b)
		}
		records, err := s.daemons[name].Handoffs(ctx)
		if err != nil {
			t.Log(err)
		}
		for _, r := range records[max(0, len(records)-6):] {
			t.Logf("%s: %+v", name, r)
		}
		if status, err := s.daemons[name].Status(ctx); err == nil {
			for _, counter := range slices.Sorted(maps.Keys(status.Counters)) {
				if n := status.Counters[counter]; n > 0 {
					t.Logf("%s: %s %d", name, counter, n)
				}
			}
		}
		out, err := s.daemons[name].Host.Output(ctx, "ss", "-t", "-a", "-i", "-n", "-m", "-o")
		t.Logf("%s: %v\n%s", name, err, out)
	}
}

// noFailedHandoffs fails the test for each handoff that did not come about.
func (s *site) noFailedHandoffs(ctx context.Context, t *testing.T) {
	t.Helper()
	for name, d := range s.daemons {
		if name == "ha" || name == "modern" {
			continue
		}
		records, err := d.Handoffs(ctx)
		must(t, err)
		for _, r := range records {
			if r.Error != "" {
				t.Errorf("%s: %+v", name, r)
			}
		}
	}
}

// localEchoes starts echo servers at all replicas that keep who comes.
func (s *site) localEchoes(ctx context.Context, t *testing.T) {
	t.Helper()
	for _, name := range lab.Replicas() {
		_, err := s.StartServer(name, "echo", "-n", name, "-w", "8", "-policy", "local")
		must(t, err)
	}
	must(t, s.WaitServing(ctx, s.daemons, "echo"))
}

// addressOf is a host's address.
func addressOf(t *testing.T, host string) netip.Addr {
	t.Helper()
	site, ok := lab.SiteOf(host)
	if !ok {
		t.Fatalf("no host %s", host)
	}
	return site.Addr
}

// boundOnlyTo waits until a client has its binding at a replica, and no other one
// thinks that it has it.
func (s *site) boundOnlyTo(ctx context.Context, t *testing.T, client, replica string) {
	t.Helper()
	who := addressOf(t, client)
	ctx, cancel := context.WithTimeoutCause(ctx, cluster.AnswerTime, fmt.Errorf("%s not bound to %s within %v", client, replica, cluster.AnswerTime))
	defer cancel()
	must(t, lab.WaitFor(ctx, func() error {
		for _, name := range lab.Replicas() {
			var all []wire.Binding
			if err := s.daemons[name].Get(ctx, wire.PathBindings, &all); err != nil {
				return err
			}
			bound := false
			for _, b := range all {
				bound = bound || b.Role == "replica" && b.Peer == who && b.State == "bound, optimised"
			}
			if bound != (name == replica) {
				return fmt.Errorf("bound to %s: %t", name, bound)
			}
		}
		return nil
	}))
}

// moveAll hands all connections of a client over, and wants so many of them.
func (s *site) moveAll(ctx context.Context, t *testing.T, client, from, to string, want int) {
	t.Helper()
	all, err := s.daemons[from].HandoffClient(ctx, addressOf(t, client), addressOf(t, to))
	must(t, err)
	if len(all) != want {
		t.Errorf("%d connections of %s at %s, want %d", len(all), client, from, want)
	}
	for _, h := range all {
		if h.Failure != nil {
			t.Errorf("%v from %s to %s: %+v", h.Remote, from, to, h.Failure)
		}
	}
}

// An operator moves all connections of a client together, and its binding goes
// along; then one moves alone, and the rest follow.
func TestSeveralConnectionsMoveTogether(t *testing.T) {
	ctx := testContext(t, 120*time.Second)
	s := bringUp(ctx, t)
	s.localEchoes(ctx, t)
	judge := s.capture(ctx, t, "modern")
	sessions := map[string]*cluster.Telnet{}
	for _, name := range []string{"one", "two", "three"} {
		sessions[name] = s.telnetFrom(ctx, t, s.Modern)
		must(t, sessions[name].Say(ctx, name))
	}
	s.boundOnlyTo(ctx, t, "modern", "glass")
	from := "glass"
	for _, to := range []string{"reich", "adams", "glass"} {
		s.moveAll(ctx, t, "modern", from, to, len(sessions))
		for name, session := range sessions {
			must(t, session.Moved(ctx))
			if session.Served != to {
				t.Errorf("%s is served by %s, not by %s", name, session.Served, to)
			}
			must(t, session.Say(ctx, "at "+to))
		}
		s.boundOnlyTo(ctx, t, "modern", to)
		from = to
	}
	for name, session := range sessions {
		must(t, session.All(ctx, "!", name+"/at reich/at adams/at glass/"))
	}
	// A new connection comes where the binding is.
	s.moveAll(ctx, t, "modern", "glass", "adams", len(sessions))
	for _, session := range sessions {
		must(t, session.Moved(ctx))
	}
	s.boundOnlyTo(ctx, t, "modern", "adams")
	sessions["four"] = s.telnetFrom(ctx, t, s.Modern)
	if by := sessions["four"].Served; by != "adams" {
		t.Errorf("the fourth is served by %s", by)
	}
	for _, session := range sessions {
		must(t, session.Say(ctx, "still"))
		must(t, session.Quit(ctx))
	}
	judge()
	s.noFailedHandoffs(ctx, t)
}

// Clients without Mobile IPv6 have no binding that could follow.
func TestSeveralLegacyConnectionsMoveTogether(t *testing.T) {
	ctx := testContext(t, 120*time.Second)
	s := bringUp(ctx, t)
	s.localEchoes(ctx, t)
	judge := s.capture(ctx, t, "legacy")
	var sessions []*cluster.Telnet
	for range 3 {
		sessions = append(sessions, s.telnetFrom(ctx, t, s.Legacy))
	}
	from := "glass"
	for _, to := range []string{"reich", "adams", "glass"} {
		s.moveAll(ctx, t, "legacy", from, to, len(sessions))
		for _, session := range sessions {
			must(t, session.Moved(ctx))
			must(t, session.Say(ctx, "at "+to))
		}
		from = to
	}
	for _, session := range sessions {
		must(t, session.Quit(ctx))
	}
	judge()
	s.noFailedHandoffs(ctx, t)
}

const (
	severalSize  = 60_000_000 // bytes in each direction, of each connection
	severalMoves = 30
)

// Two bulk transfers of one client, each handed over by itself again and again
// by its servers and now and then both by an operator: every byte arrives once, and
// no link sees a reset.
func TestSeveralTransfers(t *testing.T) {
	ctx := testContext(t, 4*time.Minute)
	service := cluster.Service{Name: "stream", NeverSelf: true, Contact: netip.AddrPortFrom(netip.MustParseAddr(lab.ContactAddress), 4000)}
	s := bringUp(ctx, t, cluster.WithServices(service))
	for _, name := range lab.Replicas() {
		_, err := s.StartServer(name, "stream", "-seed", strconv.Itoa(dnSeed),
			"-size", strconv.Itoa(severalSize), "-every", strconv.Itoa(severalSize/severalMoves))
		must(t, err)
	}
	must(t, s.WaitServing(ctx, s.daemons, "stream"))
	judge := s.capture(ctx, t, "modern")
	defer s.showBindings(ctx, t)
	resets := watchResets(t, s)
	type end struct {
		got   sums
		moves int
		err   error
	}
	ended := make(chan end, 2)
	for range cap(ended) {
		conn, err := dial(ctx, s.Modern, service.Contact)
		must(t, err)
		go func() { ended <- transfer(conn) }()
	}
	over := make(chan struct{})
	operated := make(chan int)
	go func() { operated <- s.operate(ctx, t, over) }()
	moves := 0
	for range cap(ended) {
		e := <-ended
		must(t, e.err)
		if e.got.down != stream.Sum(dnSeed, severalSize) || e.got.up != stream.Sum(upSeed, severalSize) {
			t.Error("what was received is not what was sent")
		}
		moves += e.moves
	}
	close(over)
	t.Logf("%d handoffs, %d of them by the operator", moves, <-operated)
	if moves < 2*(severalMoves-1) {
		t.Errorf("%d handoffs, want at least %d", moves, 2*(severalMoves-1))
	}
	resets(ctx)
	judge()
}

func transfer(conn *net.TCPConn) (e struct {
	got   sums
	moves int
	err   error
}) {
	defer conn.Close()
	sent := make(chan error, 1)
	go func() { sent <- upload(conn, severalSize, stream.Bulk) }()
	e.got, e.moves, e.err = download(conn, severalSize)
	if err := <-sent; e.err == nil {
		e.err = err
	}
	return e
}

// operate moves all of modern's connections from wherever they are to the next
// replica, until over. It counts what was moved.
func (s *site) operate(ctx context.Context, t *testing.T, over <-chan struct{}) (moved int) {
	all := lab.Replicas()
	for i := 0; ; i++ {
		for _, from := range all {
			to := all[i%len(all)]
			if from == to {
				continue
			}
			select {
			case <-over:
				return moved
			case <-ctx.Done():
				return moved
			default:
			}
			done, err := s.daemons[from].HandoffClient(ctx, addressOf(t, "modern"), addressOf(t, to))
			if err != nil {
				continue // none there
			}
			for _, h := range done {
				if h.Failure == nil {
					moved++
				}
			}
		}
	}
}

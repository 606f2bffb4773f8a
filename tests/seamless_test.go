package tests

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vanycast/vanycast/tests/cluster"
	"github.com/vanycast/vanycast/tests/lab"
	"github.com/vanycast/vanycast/tests/stream"
)

const (
	seamlessSize  = 40_000_000 // bytes in each direction
	seamlessMoves = 40         // handoffs at least
)

// repeated is what tells of a lost segment: one was sent again, or one came before
// another that was sent earlier, or twice.
var repeated = []string{"Tcp.RetransSegs", "TcpExt.TCPOFOQueue", "TcpExt.TCPDSACKOldSent", "TcpExt.TCPTimeouts"}

// On links that lose nothing, a client in the middle of bulk transfers in both
// directions is handed off again and again without one segment being sent twice:
// no host's TCP had anything to repair.
func TestSeamlessHandoffsLoseNothing(t *testing.T) {
	ctx := testContext(t, 8*time.Minute)
	service := cluster.Service{
		Name: "stream", NeverSelf: true, Contact: netip.AddrPortFrom(netip.MustParseAddr(lab.ContactAddress), 4000),
		Extra: []string{`mode = "seamless"`},
	}
	s := bringUp(ctx, t, cluster.WithServices(service))
	for _, name := range lab.Replicas() {
		_, err := s.StartServer(name, "stream", "-seed", strconv.Itoa(dnSeed),
			"-size", strconv.Itoa(seamlessSize), "-every", strconv.Itoa(seamlessSize/(seamlessMoves+5)))
		must(t, err)
	}
	must(t, s.WaitServing(ctx, s.daemons, "stream"))

	hosts := append(lab.Replicas(), "modern")
	before := map[string]map[string]int{}
	for _, name := range hosts {
		before[name] = tcpStatistics(ctx, t, s.Lookup(name))
	}
	conn, err := dial(ctx, s.Modern, service.Contact)
	must(t, err)
	defer conn.Close()
	sent := make(chan error, 1)
	go func() { sent <- upload(conn, seamlessSize) }()
	got, moves, err := download(conn, seamlessSize)
	if e := <-sent; e != nil {
		t.Error(e)
	}
	must(t, err)
	if got.down != stream.Sum(dnSeed, seamlessSize) || got.up != stream.Sum(upSeed, seamlessSize) {
		t.Error("what was received is not what was sent")
	}
	if moves < seamlessMoves {
		t.Errorf("%d handoffs, want at least %d", moves, seamlessMoves)
	}
	for _, name := range hosts {
		after := tcpStatistics(ctx, t, s.Lookup(name))
		for _, counter := range repeated {
			if n := after[counter] - before[name][counter]; n != 0 {
				t.Errorf("%s: %s is %d after %d handoffs", name, counter, n, moves)
			}
		}
	}
	for _, name := range lab.Replicas() {
		var status struct {
			Counters map[string]uint64 `json:"counters"`
		}
		must(t, s.daemons[name].Get(ctx, "/v1/status", &status))
		t.Logf("%s: %v", name, status.Counters)
		x, _ := s.Lookup(name).Output(ctx, "grep", "-v", "\t0$", "/proc/net/xfrm_stat")
		t.Logf("%s: %s", name, x)
	}
	seamless := 0
	for _, name := range lab.Replicas() {
		records, err := s.daemons[name].Handoffs(ctx)
		must(t, err)
		for _, r := range records {
			if r.Role == "donor" && r.Mode == "seamless" && r.Error == "" {
				seamless++
			}
		}
	}
	if seamless < seamlessMoves {
		t.Errorf("%d of %d handoffs were seamless", seamless, moves)
	}
}

// tcpStatistics are the TCP counters of a host since it came up.
func tcpStatistics(ctx context.Context, t *testing.T, h *lab.Host) map[string]int {
	t.Helper()
	out, err := h.Output(ctx, "cat", "/proc/net/snmp", "/proc/net/netstat")
	must(t, err)
	all := map[string]int{}
	var names []string
	for line := range strings.Lines(out) {
		fields := strings.Fields(line)
		if names == nil {
			names = fields
			continue
		}
		for i := 1; i < len(fields) && i < len(names); i++ {
			n, err := strconv.Atoi(fields[i])
			must(t, err)
			all[fmt.Sprintf("%s.%s", strings.TrimSuffix(names[0], ":"), names[i])] = n
		}
		names = nil
	}
	for _, name := range repeated {
		if _, ok := all[name]; !ok {
			t.Fatalf("no counter %s on %s", name, h.Name())
		}
	}
	return all
}

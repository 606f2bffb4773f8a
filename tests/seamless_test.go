package tests

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"github.com/vanycast/vanycast/tests/cluster"
	"github.com/vanycast/vanycast/tests/lab"
	"github.com/vanycast/vanycast/tests/stream"
)

const (
	seamlessSize  = 6_000_000 // bytes in each direction
	seamlessMoves = 60        // handoffs at least
)

// On links that lose nothing a client is handed off again and again, in the middle
// of a steady stream in both directions, without one byte being sent twice: each
// passes its link once, for a client with Mobile IPv6 and for one without. (A bulk
// transfer would not tell: on virtual links segments of one overtake each other,
// also where nobody moves.)
func TestSeamlessHandoffsLoseNothing(t *testing.T) {
	for _, client := range []string{"modern", "legacy"} {
		t.Run(client, func(t *testing.T) { seamlessHandoffs(t, client) })
	}
}

func seamlessHandoffs(t *testing.T, client string) {
	ctx := testContext(t, 3*time.Minute)
	service := cluster.Service{
		Name: "stream", NeverSelf: true, Contact: netip.AddrPortFrom(netip.MustParseAddr(lab.ContactAddress), 4000),
		Extra: []string{`mode = "seamless"`},
	}
	s := bringUp(ctx, t, cluster.WithServices(service))
	for _, name := range lab.Replicas() {
		_, err := s.StartServer(name, "stream", "-seed", strconv.Itoa(dnSeed), "-steady",
			"-size", strconv.Itoa(seamlessSize), "-every", strconv.Itoa(seamlessSize/(seamlessMoves+5)))
		must(t, err)
	}
	must(t, s.WaitServing(ctx, s.daemons, "stream"))

	judge := s.capture(ctx, t, lab.Replicas()...)
	link, err := s.Router.Capture(client)
	must(t, err)
	conn, err := dial(ctx, s.Lookup(client), service.Contact)
	must(t, err)
	defer conn.Close()
	sent := make(chan error, 1)
	go func() { sent <- upload(conn, seamlessSize, stream.Steady) }()
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
	judge()
	must(t, link.Stop())
	again, err := sentAgain(ctx, link)
	must(t, err)
	for i, what := range again {
		if i == 20 {
			t.Errorf("and %d more", len(again)-i)
			break
		}
		t.Error(what)
	}
	seamless := 0
	for _, name := range lab.Replicas() {
		records, err := s.daemons[name].Handoffs(ctx)
		must(t, err)
		for _, r := range records {
			switch {
			case r.Error != "":
				t.Errorf("%s: %+v", name, r)
			case r.Role == "donor" && r.Mode == "seamless":
				seamless++
			}
		}
	}
	t.Logf("%d handoffs, %d of them seamless", moves, seamless)
	if seamless < moves {
		t.Errorf("only %d of %d handoffs were seamless", seamless, moves)
	}
}

// sentAgain finds what passed a client's link more than once, or after something
// that was sent later: a segment that begins before the end of the one before it,
// in its direction.
func sentAgain(ctx context.Context, c *lab.Capture) (again []string, err error) {
	rows, err := c.Fields(ctx, "tcp.port == 4000 && tcp.len > 0 && !icmpv6", "frame.number", "tcp.srcport", "tcp.seq_raw", "tcp.len")
	if err != nil {
		return nil, err
	}
	ends := map[bool]uint32{} // by direction
	for _, row := range rows {
		var n [4]uint64
		for i := range n {
			if n[i], err = strconv.ParseUint(row[i], 10, 32); err != nil {
				return nil, fmt.Errorf("tshark's row %q: %w", row, err)
			}
		}
		ours, first, end := n[1] == 4000, uint32(n[2]), uint32(n[2]+n[3])
		last, known := ends[ours]
		switch {
		case known && int32(first-last) < 0:
			again = append(again, fmt.Sprintf("frame %d: from our port %v: bytes %d to %d, after %d", n[0], ours, first, end, last))
		case known && first != last:
			again = append(again, fmt.Sprintf("frame %d: from our port %v: bytes %d to %d are missing before it", n[0], ours, last, first))
		}
		if !known || int32(end-last) > 0 {
			ends[ours] = end
		}
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("no segment with data was captured")
	}
	return again, nil
}

package tests

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/vanycast/vanycast/tests/cluster"
	"github.com/vanycast/vanycast/tests/lab"
	"github.com/vanycast/vanycast/tests/stream"
)

// On links that lose nothing a client is handed off again and again, in the middle
// of a steady stream in both directions, without one byte being sent twice: in the
// whole capture, and so around every handoff, each passes its link once and after
// those before it, for a client with Mobile IPv6 and for one without. A bulk transfer
// would not tell: on virtual links segments of one overtake each other, also where
// nobody moves. Nor would a client that is handed off more often than it may be told
// (MAX_UPDATE_RATE, RFC 6275 §12: three updates a second by each replica): its server
// waits for the next handoff, neither reads nor writes, and so does its client.
func TestSeamlessHandoffsLoseNothing(t *testing.T) {
	for _, client := range []string{"modern", "legacy"} {
		t.Run(client, func(t *testing.T) {
			seamlessHandoffs(t, exchange{client: client, size: 6_000_000, moves: 60, pace: stream.Steady})
		})
	}
}

// A client only sends, some words and then none, and hears nothing but that they came. It
// is handed off upon the last word before each silence, half of which its server has not
// read, and not acknowledged either: the kernel delays that. The client waits for it in
// vain, and says the word again, if it is not acknowledged before the connection freezes.
func TestSeamlessHandoffsAcknowledge(t *testing.T) {
	for _, client := range []string{"modern", "legacy"} {
		t.Run(client, func(t *testing.T) {
			const moves = 60
			size := stream.Words.Between * (moves + 2)
			seamlessHandoffs(t, exchange{client: client, size: size, moves: moves, pace: stream.Words, oneWay: true})
		})
	}
}

func seamlessHandoffs(t *testing.T, e exchange) {
	ctx := testContext(t, 3*time.Minute)
	s := bringUp(ctx, t, cluster.WithServices(streams(`mode = "seamless"`)))
	e.serve(ctx, t, s)

	s.noProbes(e.client)
	judge := s.capture(ctx, t, lab.Replicas()...)
	link, err := s.Router.Capture(e.client)
	must(t, err)
	moves := e.run(ctx, t, s)
	judge()
	must(t, link.Stop())
	again, err := sentAgain(ctx, link)
	must(t, err)
	const resent = "tcp.analysis.retransmission || tcp.analysis.fast_retransmission || tcp.analysis.spurious_retransmission || tcp.analysis.lost_segment"
	seen, err := link.Frames(ctx, "tcp.port == 4000 && !icmpv6 && ("+resent+")") // tshark's opinion
	must(t, err)
	again = append(again, seen...)
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

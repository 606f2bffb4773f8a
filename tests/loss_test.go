package tests

import (
	"testing"
	"time"

	"github.com/vanycast/vanycast/tests/cluster"
	"github.com/vanycast/vanycast/tests/lab"
	"github.com/vanycast/vanycast/tests/stream"
)

// One packet of twenty is lost on the client's link, each way, whatever is in it:
// segments, and the Mobility Headers of its handoffs. Every byte arrives all the
// same, and no link sees a reset, whichever segment came late or twice.
func TestTransferThroughLoss(t *testing.T) {
	t.Parallel()
	for _, client := range []string{"modern", "legacy"} {
		t.Run(client, func(t *testing.T) { transferThroughLoss(t, client, 0.05, client) })
	}
}

// On every link: also what the replicas say to each other, and what they relay, is lost.
// What is relayed crosses four or five links, so again one packet of twenty is.
func TestTransferThroughLossEverywhere(t *testing.T) {
	t.Parallel()
	for _, client := range []string{"modern", "legacy"} {
		t.Run(client, func(t *testing.T) {
			transferThroughLoss(t, client, 0.0125, append(lab.Replicas(), client, "home")...)
		})
	}
}

func transferThroughLoss(t *testing.T, client string, share float64, links ...string) {
	const seed = 4
	ctx := testContext(t, 4*time.Minute)
	e := exchange{client: client, size: 8_000_000, moves: 30, pace: stream.Bulk}
	s := bringUp(ctx, t, cluster.WithServices(streams()))
	e.serve(ctx, t, s)
	judge := s.capture(ctx, t, client)
	resets := watchResets(t, s)
	losses := map[string]*lab.Loss{}
	for i, link := range links {
		losses[link] = s.Router.Lose(link, share, seed+uint64(i))
	}
	moves := e.run(ctx, t, s)
	for link, l := range losses {
		lost, of, err := l.Lost()
		must(t, err)
		if lost == 0 && float64(of) > 10/share { // little passes on the home agent's
			t.Errorf("nothing was lost on the link of %s", link)
		}
		t.Logf("%s: %d of %d packets lost", link, lost, of)
		must(t, l.Close()) // the daemons may end in order
	}
	t.Logf("%d handoffs", moves)
	resets(ctx)
	judge()
}

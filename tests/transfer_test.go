package tests

import (
	"context"
	"testing"
	"time"

	"github.com/vanycast/vanycast/tests/cluster"
	"github.com/vanycast/vanycast/tests/lab"
	"github.com/vanycast/vanycast/tests/stream"
)

// Two hundred megabytes in each direction at once, handed over 250 times in the
// middle of them, by a client with Mobile IPv6 and by one without, 500 handoffs in
// all: every byte arrives once and in order, and no link sees a reset, a malformed
// packet or a bad checksum.
func TestTransferThroughHandoffs(t *testing.T) {
	for _, client := range []string{"modern", "legacy"} {
		t.Run(client, func(t *testing.T) { transferThroughHandoffs(t, client) })
	}
}

func transferThroughHandoffs(t *testing.T, client string) {
	ctx := testContext(t, 8*time.Minute)
	e := exchange{client: client, size: 200_000_000, moves: 250, pace: stream.Bulk}
	s := bringUp(ctx, t, cluster.WithServices(streams()))
	e.serve(ctx, t, s)
	judge := s.capture(ctx, t, client)
	resets := watchResets(t, s)
	t.Logf("%d handoffs", e.run(ctx, t, s))
	resets(ctx)
	judge()
}

// watchResets captures the heads of all packets on the replicas' links; the
// returned function fails the test for every reset among them. (Judging the
// client's link for everything is enough for the rest: all that the replicas
// send to the client passes there.)
func watchResets(t *testing.T, s *site) func(context.Context) {
	t.Helper()
	const heads = 200 // link, IPv6 twice, extension headers, TCP with options
	captures := map[string]*lab.Capture{}
	for _, name := range lab.Replicas() {
		c, err := s.Router.Capture(name, lab.Snaplen(heads))
		must(t, err)
		captures[name] = c
	}
	return func(ctx context.Context) {
		t.Helper()
		for name, c := range captures {
			if err := c.Stop(); err != nil {
				t.Error(err)
				continue
			}
			resets, err := c.Frames(ctx, lab.FilterReset)
			if err != nil {
				t.Error(err)
			}
			for _, r := range resets {
				t.Errorf("on the link of %s: %s", name, r)
			}
		}
	}
}

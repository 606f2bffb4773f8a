package kernel

import (
	"testing"

	"github.com/vanycast/vanycast/tests/gap"
	"github.com/vanycast/vanycast/tests/lab"
)

// A stream of a kilobyte each millisecond both ways, 40 ms to the client and back,
// 20 ms between replicas and back, and handoffs in the middle of it, in each way
// and for each kind of client: the bytes are right. How long the client is without
// news is told; in user-mode Linux, with one slow processor, most of that is the
// machine's (docs/benchmarks.md has it from a kernel of its own).
func TestGaps(t *testing.T) {
	needKernel(t)
	for _, client := range gap.Clients() {
		for _, way := range gap.Ways() {
			t.Run(client+" "+way.String(), func(t *testing.T) {
				n := lab.Thesis(t, lab.Wire())
				felt, err := gap.Feel(testContext(t), t, n, binaries, gap.Trial{Client: client, Way: way, Handoffs: 2}, func() {
					// netem at the router delays one way: twice the link's.
					for _, s := range lab.Sites() {
						switch s.Name {
						case "ha":
							n.Router.Impair("home", 2*gap.ReplicaLink, 0)
						case "modern", "legacy":
							n.Router.Impair(s.Name, 2*gap.ClientLink, 0)
						default:
							n.Router.Impair(s.Name, 2*gap.ReplicaLink, 0)
						}
					}
				})
				must(t, err)
				t.Logf("%+v", felt)
			})
		}
	}
}

package anycast

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/vanycast/vanycast/mipv6"
)

// At no moment do two replicas believe that a client is theirs, whatever is
// lost (the design's first promise): a handoff whose end the donor does not
// hear of, over a network that loses a good part of everything.
func TestOneOwnerWhateverIsLost(t *testing.T) {
	ours, theirs, unknown := 0, 0, 0
	for seed := range uint64(200) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			inLab(t, func(t *testing.T, l *lab) {
				donor, acceptor := l.replicas[glass].addr, l.replicas[reich].addr
				l.mustActive(l.replicas[glass])
				must(t, donor.Bind(l.ctx, modern))
				m, err := donor.Mark(modern)
				must(t, err)
				dice := rand.New(rand.NewPCG(seed, 1))
				loss := dice.Float64() * 0.9
				l.net.Filter(func(*mipv6.Packet) bool { return dice.Float64() >= loss })
				begun := dice.IntN(4) > 0 // sometimes the acceptor did not get the client
				var started error = errors.New("not begun")
				if begun {
					started = acceptor.Start(l.ctx, modern, glass, m)
				}
				time.Sleep(DefaultHandoffTimeout)
				var reclaimed error
				var seq *SequenceError
				for range 4 { // while nothing is known it is asked again
					reclaimed = donor.Reclaim(l.ctx, modern, m)
					if reclaimed == nil || errors.As(reclaimed, &seq) {
						break
					}
					time.Sleep(time.Second)
				}
				l.net.Filter(nil)
				owner := l.boundTo()
				switch {
				case started == nil && reclaimed == nil:
					t.Errorf("both believe that the client is theirs; it sends to %v", owner)
				case started == nil && owner != reich:
					t.Errorf("the acceptor believes that the client is its own; it sends to %v", owner)
				case reclaimed == nil && owner != glass:
					t.Errorf("the donor believes that the client is its own; it sends to %v", owner)
				case seq != nil && owner != reich:
					t.Errorf("the donor believes that the client is the acceptor's; it sends to %v", owner)
				}
				switch {
				case reclaimed == nil:
					ours++
				case seq != nil:
					theirs++
				default:
					unknown++
				}
			})
		})
	}
	t.Logf("reclaimed %d, the acceptor's %d, unknown %d", ours, theirs, unknown)
	if ours == 0 || theirs == 0 {
		t.Error("the losses leave one of the outcomes out: this test shows nothing")
	}
}

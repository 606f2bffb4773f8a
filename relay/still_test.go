package relay

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vanycast/vanycast/mipv6"
)

var severalPair = clientPair{contactAddr, legacy}

// tell has a replica told how far it is with the binding of the client.
func (g *group) tell(at, from netip.Addr, s stage, round uint16) error {
	_, err := g.nodes[at].HandleBound(g.t.Context(), from, marshalBound(severalPair, s, round))
	return err
}

// canBegin reports whether a handoff begins at once.
func (g *group) canBegin(at netip.Addr, c Conn) bool {
	ctx, cancel := context.WithTimeout(g.t.Context(), time.Millisecond)
	defer cancel()
	err := g.nodes[at].Begin(ctx, c)
	if err == nil {
		g.nodes[at].End(c)
	}
	return err == nil
}

func (g *group) wantStill(at netip.Addr, want bool) {
	g.t.Helper()
	if got := !g.canBegin(at, connOf(9)); got != want {
		g.t.Errorf("%v holds still: %v, want %v", at, got, want)
	}
}

// A binding waits for the handoff that is under way, also for its acceptor, which was
// no owner when the others were asked; meanwhile no other handoff begins.
func TestStillWaits(t *testing.T) {
	inGroup(t, func(g *group) {
		several(g) // 1 at adams, 2 at glass, 3 at reich, which the client is bound to
		a := g.nodes[adams]
		g.must(a.Begin(g.t.Context(), connOf(1)))
		m, err := a.Mark(connOf(1))
		g.must(err)
		var stilled error
		over := make(chan struct{})
		go func() {
			defer close(over)
			stilled = g.nodes[reich].Still(g.t.Context(), contactAddr, legacy)
		}()
		synctest.Wait()
		g.wantStill(reich, true)
		g.wantStill(glass, true)
		g.wantStill(adams, true)
		// The anchor takes it: glass is asked as well, and has been.
		g.must(g.nodes[glass].Start(g.t.Context(), connOf(1), m))
		a.Finish(connOf(1))
		select {
		case <-over:
			t.Error("the donor is not waited for")
		default:
		}
		a.End(connOf(1))
		<-over
		g.must(stilled)
		all, err := g.nodes[reich].Cede(contactAddr, legacy, glass)
		g.must(err)
		for _, e := range all {
			if e.Conn == connOf(1) && (e.Owner != glass || e.Sequence != m.Sequence+1) {
				t.Errorf("ceded as %+v", e)
			}
		}
		g.must(g.nodes[glass].Adopt(contactAddr, legacy, reich, all))
		g.bind(glass, true)
		g.wantStill(glass, true)
		g.nodes[glass].Adopted(g.t.Context(), contactAddr, legacy, reich, all)
		g.nodes[reich].Ceded(contactAddr, legacy)
		g.bind(reich, false)
		synctest.Wait()
		for at := range g.nodes { // adams, too, which is on no list any more
			g.wantStill(at, false)
		}
	})
}

// A handoff that does not end keeps the binding where it is, and nobody waits for
// the binding then.
func TestStillBusy(t *testing.T) {
	inGroup(t, func(g *group) {
		several(g)
		g.must(g.nodes[adams].Begin(g.t.Context(), connOf(1)))
		if err := g.nodes[reich].Still(g.t.Context(), contactAddr, legacy); !errors.Is(err, ErrBusy) {
			t.Errorf("%v, want ErrBusy", err)
		}
		synctest.Wait()
		for at := range g.nodes {
			g.wantStill(at, false)
		}
		g.nodes[adams].End(connOf(1))
		g.nodes[adams].down.Store(true) // who cannot be reached is not waited for
		g.must(g.nodes[reich].Still(g.t.Context(), contactAddr, legacy))
		if err := g.nodes[reich].Still(g.t.Context(), contactAddr, legacy); !errors.Is(err, ErrBusy) {
			t.Errorf("twice: %v, want ErrBusy", err)
		}
		g.nodes[reich].Keep(contactAddr, legacy)
		synctest.Wait()
		g.wantStill(glass, false)
	})
}

// Nobody ends it: a handoff waits for a while and is refused, and later it ends by
// itself. What is late does not end it before.
func TestStillEnds(t *testing.T) {
	inGroup(t, func(g *group) {
		several(g)
		g.must(g.tell(glass, reich, stageStill, 7))
		g.must(g.tell(glass, reich, stageFree, 6)) // of the time before
		g.must(g.tell(glass, adams, stageFree, 7)) // another's
		if err := g.tell(glass, adams, stageStill, 1); !errors.Is(err, ErrBusy) {
			t.Errorf("for two: %v, want ErrBusy", err)
		}
		begun := time.Now()
		if err := g.nodes[glass].Begin(g.t.Context(), connOf(2)); !errors.Is(err, ErrBusy) || time.Since(begun) != beginWait {
			t.Errorf("%v after %v, want ErrBusy", err, time.Since(begun))
		}
		g.must(g.tell(glass, reich, stageFree, 7))
		g.wantStill(glass, false)
		g.must(g.tell(glass, reich, stageStill, 8))
		time.Sleep(stillFor + sweep)
		g.wantStill(glass, false)
		if len(g.nodes[glass].still) != 0 {
			t.Error("remembered for ever")
		}
		// One who does not know the sender is not impressed.
		if err := g.tell(glass, legacy, stageStill, 1); err == nil {
			t.Error("told by a stranger")
		}
	})
}

// The acceptor was the anchor until now and does not know better yet: it asks the one
// that its donor names, and nobody else.
func TestStartAtNamedAnchor(t *testing.T) {
	inGroup(t, func(g *group) {
		several(g)
		all, err := g.nodes[reich].Cede(contactAddr, legacy, glass)
		g.must(err)
		g.must(g.nodes[glass].Adopt(contactAddr, legacy, reich, all))
		g.bind(glass, true)
		g.nodes[glass].Adopted(g.t.Context(), contactAddr, legacy, reich, all)
		m, err := g.nodes[glass].Mark(connOf(2))
		g.must(err)
		if m.Anchor != glass || !m.Bound {
			t.Fatalf("mark %+v", m)
		}
		g.must(g.nodes[reich].Start(g.t.Context(), connOf(2), m))
		if e, ok := g.nodes[glass].cache.Lookup(time.Now(), connOf(2)); !ok || e.Owner != reich || e.Sequence != m.Sequence+1 {
			t.Errorf("registered %+v, %v", e, ok)
		}
		g.nodes[reich].Ceded(contactAddr, legacy)
		g.bind(reich, false)
		g.shows(reich, connOf(2), "relayed by 2001:db8:1::10")
		g.shows(glass, connOf(2), "relay to 2001:db8:2::10 via optimised")

		// The one that a donor names is none: nobody else is asked, and nothing stays.
		m.Sequence++
		m.Anchor = adams
		if err := g.nodes[reich].Start(g.t.Context(), connOf(4), m); !errors.Is(err, ErrUnsent) || !errors.Is(err, ErrNoAnchor) {
			t.Errorf("%v, want ErrNoAnchor and ErrUnsent", err)
		}
		m.Anchor = reich
		if err := g.nodes[reich].Start(g.t.Context(), connOf(4), m); !errors.Is(err, ErrUnsent) || !errors.Is(err, ErrNoAnchor) {
			t.Errorf("at itself: %v, want ErrNoAnchor and ErrUnsent", err)
		}
		g.shows(reich, connOf(4), "none")
	})
}

// A registration that is given back late does not touch who has the connection now.
func TestGivenBackLate(t *testing.T) {
	inGroup(t, func(g *group) {
		c := connOf(1)
		g.nodes[glass].lives(c)
		m, err := g.nodes[glass].Mark(c) // on its way elsewhere
		g.must(err)
		g.nodes[glass].cache.remove(c)
		res := g.nodes[glass].decide(Request{Conn: c, Owner: adams, Sequence: m.Sequence + 5})
		if o := g.nodes[glass].owned[c]; res.Status != mipv6.StatusAccepted || o == nil || !o.live {
			t.Errorf("%+v, and then %+v", res, o)
		}
	})
}

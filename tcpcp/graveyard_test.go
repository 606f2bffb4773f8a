package tcpcp

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/vanycast/vanycast/tcpcp/internal/loopback"
	vlab "github.com/vanycast/vanycast/tests/lab"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// loopbackPair is a connection of a host with itself.
func loopbackPair(t testing.TB, h *vlab.Host) (client, server int) {
	t.Helper()
	var err error
	do(t, h, func() { client, server, err = loopback.Connect() })
	if err != nil {
		t.Fatal(err)
	}
	return client, server
}

// buryable makes n frozen connections of a host.
func buryable(t testing.TB, n int) []*Frozen {
	t.Helper()
	h := vlab.New(t).Host("loop")
	var all []*Frozen
	for range n {
		client, server := loopbackPair(t, h)
		t.Cleanup(func() { unix.Close(client) })
		f, err := Freeze(server)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := f.Forget(); err != nil && !errors.Is(err, ErrFinished) {
				t.Error(err)
			}
		})
		all = append(all, f)
	}
	return all
}

func at(seconds int) time.Time { return time.Unix(int64(seconds), 0) }

func TestGraveyardExpires(t *testing.T) {
	f := buryable(t, 3)
	g := NewGraveyard(10)
	for i, until := range []int{30, 10, 20} {
		if err := g.Bury(f[i], at(until)); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		now  int
		next time.Time
		gone []bool
	}{
		{9, at(10), []bool{false, false, false}},
		{10, at(20), []bool{false, true, false}},
		{29, at(30), []bool{false, true, true}},
		{31, time.Time{}, []bool{true, true, true}},
		{32, time.Time{}, []bool{true, true, true}},
	} {
		next, err := g.Expire(at(step.now))
		if err != nil || !next.Equal(step.next) {
			t.Errorf("at %d: next %v, %v; want %v", step.now, next, err, step.next)
		}
		for i, gone := range step.gone {
			if f[i].done != gone {
				t.Errorf("at %d: connection %d forgotten: %v", step.now, i, f[i].done)
			}
		}
	}
}

func TestGraveyardIsBounded(t *testing.T) {
	f := buryable(t, 4)
	g := NewGraveyard(2)
	for i, until := range []int{30, 10, 20, 40} {
		if err := g.Bury(f[i], at(until)); err != nil {
			t.Fatal(err)
		}
	}
	var gone []bool
	for _, f := range f {
		gone = append(gone, f.done)
	}
	if !slices.Equal(gone, []bool{false, true, true, false}) || g.Len() != 2 {
		t.Errorf("forgotten: %v, %d are left; want the nearest times gone", gone, g.Len())
	}
	if err := g.Close(); err != nil || g.Len() != 0 {
		t.Errorf("Close: %v, %d left", err, g.Len())
	}
	if NewGraveyard(0).limit != 1 {
		t.Error("a graveyard of nothing")
	}
}

// Exhume gives a connection back that then goes on living.
func TestGraveyardExhume(t *testing.T) {
	f := buryable(t, 2)
	g := NewGraveyard(10)
	for _, f := range f {
		if err := g.Bury(f, at(10)); err != nil {
			t.Fatal(err)
		}
	}
	got, ok := g.Exhume(f[0].Tuple())
	if !ok || got != f[0] {
		t.Fatalf("Exhume: %v, %v", got, ok)
	}
	if _, ok := g.Exhume(f[0].Tuple()); ok {
		t.Error("exhumed twice")
	}
	if err := g.Release(f[0].Tuple()); err != nil || f[0].done {
		t.Errorf("Release of what is not there: %v, forgotten %v", err, f[0].done)
	}
	if err := got.Thaw(); err != nil {
		t.Fatal(err)
	}
	if i, err := getInfo(got.fd); err != nil || i.state != Established {
		t.Errorf("thawed: %v, %v", i.state, err)
	}
	unix.Close(got.fd)
	if err := g.Release(f[1].Tuple()); err != nil || !f[1].done || g.Len() != 0 {
		t.Errorf("Release: %v, forgotten %v, %d left", err, f[1].done, g.Len())
	}
}

// Against a naive one, for any order of calls.
func TestGraveyardOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(1, 5).Draw(t, "limit")
		g := NewGraveyard(limit)
		naive := map[FourTuple]time.Time{}
		nearest := func() FourTuple {
			var best FourTuple
			for k, v := range naive {
				if !best.valid() || v.Before(naive[best]) {
					best = k
				}
			}
			return best
		}
		sample := sampleEndpoint().Tuple()
		used := map[int]bool{} // times are distinct, or the order would be open
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			tuple := FourTuple{Local: sample.Local,
				Remote: netip.AddrPortFrom(sample.Remote.Addr(), rapid.Uint16Range(1, 6).Draw(t, "port"))}
			seconds := rapid.IntRange(1, 1000).Draw(t, "time")
			switch rapid.IntRange(0, 2).Draw(t, "call") {
			case 0:
				if used[seconds] {
					continue
				}
				used[seconds] = true
				// Descriptor -1: forgetting fails, which Bury reports.
				g.Bury(&Frozen{fd: -1, tuple: tuple}, at(seconds))
				delete(naive, tuple)
				for len(naive) >= limit {
					delete(naive, nearest())
				}
				naive[tuple] = at(seconds)
			case 1:
				_, ok := g.Exhume(tuple)
				if _, want := naive[tuple]; ok != want {
					t.Fatalf("Exhume: %v, want %v", ok, want)
				}
				delete(naive, tuple)
			case 2:
				next, _ := g.Expire(at(seconds))
				for k, v := range naive {
					if !v.After(at(seconds)) {
						delete(naive, k)
					}
				}
				if want := naive[nearest()]; !next.Equal(want) {
					t.Fatalf("Expire: next %v, want %v", next, want)
				}
			}
			if g.Len() != len(naive) || len(g.byTuple) != len(naive) {
				t.Fatalf("%d and %d connections, want %d", g.Len(), len(g.byTuple), len(naive))
			}
		}
	})
}

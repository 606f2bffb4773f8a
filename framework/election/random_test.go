package election

import (
	"fmt"
	"testing"
	"time"
)

// TestRandom lets processes and hosts die, come back and lose sight of each other
// and of the home agent at random moments. Whatever happened, when it is over there
// is one contact node, the one that the home agent has, the best there is, all know
// it, and it stays.
func TestRandom(t *testing.T) {
	stories := 80
	if testing.Short() {
		stories = 50
	}
	for seed := range uint64(stories) {
		w := newWorld(seed)
		w.quiet = seed != 0 && !testing.Verbose()
		told := w.trouble(2 * time.Minute)
		w.heal()
		w.advance(lifetime + 3*time.Minute) // a home agent may find out late what it has forgotten
		before := len(w.moves)
		w.advance(time.Minute)
		if err := w.settled(before); err != nil {
			for _, line := range append(told, w.out...) {
				t.Log(line)
			}
			t.Fatalf("story %d: %v", seed, err)
		}
	}
}

// TestFewMoves: while nothing happens but a partition that the home agent is
// above of, the role moves once for it, and once when it is over.
func TestFewMoves(t *testing.T) {
	for seed := range uint64(40) {
		w := newWorld(seed)
		for _, name := range names {
			w.run(name)
		}
		w.advance(30 * time.Second)
		moves := len(w.moves)
		for i, a := range names {
			for _, b := range names[i+1:] {
				w.cut(a, b, w.rand.IntN(2) == 0)
			}
		}
		if w.loners() > 1 {
			continue // nobody is left to be contact node of: each may hold it
		}
		w.advance(10 * time.Minute)
		during := len(w.moves) - moves
		w.heal()
		w.advance(4 * time.Minute)
		if after := len(w.moves) - moves - during; during > 1 || after > 1 {
			t.Errorf("seed %d: %d moves while replicas were cut off, and %d afterwards: %v", seed, during, after, w.moves)
		}
	}
}

// loners are the candidates that reach no other replica.
func (w *world) loners() (n int) {
	for _, a := range names[:3] {
		alone := true
		for _, b := range names {
			alone = alone && (a == b || !w.reaches(a, b))
		}
		if alone {
			n++
		}
	}
	return n
}

// trouble makes trouble for a while, and says which.
func (w *world) trouble(d time.Duration) (told []string) {
	tell := func(format string, args ...any) {
		line := fmt.Sprintf(format, args...)
		told = append(told, fmt.Sprintf("%7.2fs  %s", w.now.Sub(w.start).Seconds(), line))
		w.print("* %s", line)
	}
	for end := w.now.Add(d); w.now.Before(end); {
		name := names[w.rand.IntN(len(names))]
		n := w.nodes[name]
		others := append([]string{homeName}, names...)
		other := others[w.rand.IntN(len(others))]
		switch {
		case n == nil || n.dead || n.hung:
			tell("%s starts", name)
			w.run(name)
		case w.rand.IntN(3) == 0:
			tell("%s is killed", name)
			n.dead = true
		case w.rand.IntN(4) == 0:
			tell("the host %s hangs", name)
			n.hung = true
		case w.rand.IntN(6) == 0:
			w.home.Remove(w.now, homeKey)
			tell("the home agent forgets everything")
		case name != other:
			cut := w.reaches(name, other)
			tell("between %s and %s: cut %v", name, other, cut)
			w.cut(name, other, cut)
		}
		w.advance(time.Duration(w.rand.Int64N(int64(8 * time.Second))))
	}
	return told
}

// heal starts all that do not run, and joins what was cut.
func (w *world) heal() {
	clear(w.cuts)
	for _, name := range names {
		if n := w.nodes[name]; n == nil || n.dead || n.hung {
			w.run(name)
		}
	}
}

// settled says what is not as it should be.
func (w *world) settled(moves int) error {
	best := w.alive()[0]
	switch {
	case w.registered() != best:
		return fmt.Errorf("the home agent has %s, want %s", w.registered(), best)
	case len(w.moves) != moves:
		return fmt.Errorf("it moves still: %v", w.moves)
	}
	for name, n := range w.nodes {
		if n.core.active != (name == best) || n.core.node != addressOf(best) || n.standing.Node != addressOf(best) {
			return fmt.Errorf("%s: active %v, node %v, its address %+v; want %s", name, n.core.active, n.core.node, n.standing, best)
		}
	}
	return nil
}

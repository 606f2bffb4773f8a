package esp

import (
	"errors"
	"testing"

	"pgregory.net/rapid"
)

// The window against the plain rule: a number is taken once, if it is not
// WindowSize or more behind the highest.
func TestWindow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w window
		for i := range w.bits {
			w.bits[i] = ^uint64(0)
		}
		w.last = rapid.SampledFrom([]uint32{0, 1, 1000, 1<<32 - 300}).Draw(t, "last")
		first, highest := w.last, w.last
		seen := map[uint32]bool{}
		for range rapid.IntRange(1, 200).Draw(t, "packets") {
			n := uint32(int64(highest) + int64(rapid.IntRange(-WindowSize-20, WindowSize+20).Draw(t, "step")))
			want := n > first && !seen[n] && (n > highest || highest-n < WindowSize)
			if got := w.fresh(n); got != want {
				t.Fatalf("fresh(%d) = %v with highest %d", n, got, highest)
			}
			if want {
				w.accept(n)
				seen[n] = true
				highest = max(highest, n)
			}
			if w.last != highest {
				t.Fatalf("last is %d, want %d", w.last, highest)
			}
		}
	})
}

// RFC 4303 §3.4.3, end to end: a replay is refused before it is decrypted, and a
// forgery does not move the window.
func TestReplay(t *testing.T) {
	for _, a := range Algorithms() {
		c := newCipher(t, a, testKeys[a])
		s, err := NewSender(0x2000, c, 0, nil)
		if err != nil {
			t.Fatal(err)
		}
		var packets [][]byte
		for range WindowSize + 3 {
			b, err := s.Seal(41, []byte("inner"))
			if err != nil {
				t.Fatal(err)
			}
			packets = append(packets, b)
		}
		r := NewReceiver(c, 1)
		open := func(i int) error { _, _, err := r.Open(packets[i]); return err }
		if err := open(0); !errors.Is(err, ErrReplay) {
			t.Errorf("received in another life: %v", err)
		}
		if err := open(5); err != nil {
			t.Error(err)
		}
		if err := open(5); !errors.Is(err, ErrReplay) {
			t.Errorf("the same again: %v", err)
		}
		if err := open(3); err != nil {
			t.Errorf("reordered: %v", err)
		}
		forged := append([]byte(nil), packets[WindowSize+2]...)
		forged[len(forged)-1]++
		if _, _, err := r.Open(forged); !errors.Is(err, ErrAuthentication) || r.Last() != 6 {
			t.Errorf("forged: %v, last %d", err, r.Last())
		}
		if err := open(WindowSize + 2); err != nil {
			t.Error(err)
		}
		if err := open(2); !errors.Is(err, ErrReplay) {
			t.Errorf("older than the window: %v", err)
		}
		if err := open(4); err != nil {
			t.Errorf("just within the window: %v", err)
		}
	}
}

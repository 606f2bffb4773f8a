package bindings

import (
	"testing"

	"pgregory.net/rapid"
)

// notGreater is RFC 6275 §9.5.1 read aloud: "considered less than or equal to
// the last received number if its value lies in the range of the last received
// number and the preceding 32768 values, inclusive".
func notGreater(s, last uint16) bool {
	for i := 0; i <= 32768; i++ {
		if s == last-uint16(i) {
			return true
		}
	}
	return false
}

func TestAfterAgainstOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, last := rapid.Uint16().Draw(t, "s"), rapid.Uint16().Draw(t, "last")
		if After(s, last) == notGreater(s, last) {
			t.Fatalf("After(%d, %d) = %v", s, last, After(s, last))
		}
	})
}

// The RFC's own example: with last number 15, 0 through 15 and 32783 through
// 65535 are not greater.
func TestAfterExample(t *testing.T) {
	for s := 0; s <= 0xffff; s++ {
		want := s > 15 && s < 32783
		if got := After(uint16(s), 15); got != want {
			t.Fatalf("After(%d, 15) = %v", s, got)
		}
	}
}

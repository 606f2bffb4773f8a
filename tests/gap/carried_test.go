package gap

import "testing"

func TestCarried(t *testing.T) {
	c := carried{}
	const start = 1<<32 - 5 // over the end of the sequence numbers
	for i, s := range []struct {
		at, length uint32
		again      int
	}{
		{0, 10, 0}, {20, 10, 0}, {10, 10, 0}, // one overtook another
		{30, 0, 0}, {20, 10, 1}, {25, 10, 2}, {35, 5, 2}, {39, 1, 3},
	} {
		if c.segment(start+s.at, s.length); c.again != s.again {
			t.Errorf("after segment %d: %d sent again, want %d", i, c.again, s.again)
		}
	}
}

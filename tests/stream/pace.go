package stream

import "time"

// Pace is how a stream is sent: so many bytes at once, and a pause after them.
type Pace struct {
	Chunk   int
	Pause   time.Duration
	Between int // bytes between two silences, at least Chunk; 0: there are none
}

// The paces.
var (
	Bulk   = Pace{Chunk: 64 << 10}
	Steady = Pace{Chunk: 1000, Pause: time.Millisecond}
	// Words come one by one, and now and then none for a while. These times are in the
	// middle of a word or at its end. (A connection that is new to its host acknowledges
	// the first sixteen at once.)
	Words = Pace{Chunk: 100, Pause: 20 * time.Millisecond, Between: 1950}
)

// silence is longer than TCP waits for an acknowledgement before it sends something
// again: on Linux at least 200 ms.
const silence = 350 * time.Millisecond

// Wait makes the pause after a chunk that brought the stream to so many bytes.
func (p Pace) Wait(sent int64) {
	switch {
	case p.Between > 0 && sent%int64(p.Between) < int64(p.Chunk):
		time.Sleep(silence)
	case p.Pause > 0:
		time.Sleep(p.Pause)
	}
}

package stream

import "time"

// Pace is how a stream is sent: so many bytes at once, and a pause after them.
type Pace struct {
	Chunk int
	Pause time.Duration
}

// The paces.
var (
	Bulk   = Pace{Chunk: 64 << 10}
	Steady = Pace{Chunk: 1000, Pause: time.Millisecond}
)

// Wait makes the pause.
func (p Pace) Wait() {
	if p.Pause > 0 {
		time.Sleep(p.Pause)
	}
}

// Package crew runs functions concurrently on goroutines that are kept. A new
// goroutine has a small stack, and what goes deep with it pays for copying that
// stack several times over; one that is kept has grown already. It is for short
// work that comes in great number, as the steps of a handoff do.
package crew

import "sync/atomic"

// Crew is some goroutines. Its methods are safe for concurrent use.
type Crew struct {
	tasks  chan func()
	ended  chan struct{}
	closed atomic.Bool
	idle   atomic.Int32
	most   int32
}

// New makes a crew that keeps at most so many goroutines while there is nothing
// to do. How many work at once is not bounded.
func New(most int) *Crew {
	return &Crew{tasks: make(chan func()), ended: make(chan struct{}), most: int32(most)}
}

// Go runs f, on a goroutine that waits for work or on a new one.
func (c *Crew) Go(f func()) {
	select {
	case c.tasks <- f:
	default:
		go c.work(f)
	}
}

// Close lets those go that wait for work. What runs goes on, and Go works as the
// go statement does from now on.
func (c *Crew) Close() {
	if !c.closed.Swap(true) {
		close(c.ended)
	}
}

func (c *Crew) work(f func()) {
	for {
		f()
		if c.idle.Add(1) > c.most {
			c.idle.Add(-1)
			return
		}
		select {
		case f = <-c.tasks:
			c.idle.Add(-1)
		case <-c.ended:
			c.idle.Add(-1)
			return
		}
	}
}

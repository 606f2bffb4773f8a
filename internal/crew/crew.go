// Package crew runs functions concurrently on goroutines that are kept. A new
// goroutine has a small stack, and what goes deep with it pays for copying that
// stack several times over; one that is kept has grown already. It is for short
// work that comes in great number, as the steps of a handoff do.
package crew

import "sync"

// Crew is some goroutines. Its methods are safe for concurrent use.
type Crew struct {
	mu     sync.Mutex
	idle   []chan func() // of those that wait, each its own; the last to wait works next, its stack is still warm
	most   int
	closed bool
}

// New makes a crew that keeps at most so many goroutines while there is nothing
// to do. How many work at once is not bounded.
func New(most int) *Crew { return &Crew{idle: make([]chan func(), 0, most), most: most} }

// Go runs f, on a goroutine that waits for work or on a new one.
func (c *Crew) Go(f func()) {
	c.mu.Lock()
	last := len(c.idle) - 1
	if last < 0 {
		c.mu.Unlock()
		go c.work(f)
		return
	}
	task := c.idle[last]
	c.idle = c.idle[:last]
	c.mu.Unlock()
	task <- f
}

// Close lets those go that wait for work. What runs goes on, and Go works as the
// go statement does from now on.
func (c *Crew) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, task := range c.idle {
		close(task)
	}
	c.idle = nil
}

func (c *Crew) work(f func()) {
	task := make(chan func(), 1) // who gives it does not wait
	for f != nil {
		f()
		if !c.wait(task) {
			return
		}
		f = <-task
	}
}

// wait joins those that wait for work, if they are not too many.
func (c *Crew) wait(task chan func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || len(c.idle) >= c.most {
		return false
	}
	c.idle = append(c.idle, task)
	return true
}

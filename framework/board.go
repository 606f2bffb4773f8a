package framework

import "sync"

// board is where the loop puts up what the replica says of itself, for those who
// ask.
type board struct {
	mu      sync.Mutex
	flags   standing
	number  uint16 // of the change; never 0, which is who has not asked yet
	changed chan struct{}
}

func newBoard() *board { return &board{number: 1, changed: make(chan struct{})} }

// put is called by the loop after each event.
func (b *board) put(f standing) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if f == b.flags {
		return
	}
	b.flags = f
	if b.number++; b.number == 0 {
		b.number = 1
	}
	close(b.changed)
	b.changed = make(chan struct{})
}

// read gives what is there, and what is closed when it changes.
func (b *board) read() (f standing, number uint16, changed <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.flags, b.number, b.changed
}

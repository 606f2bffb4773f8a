package api

import (
	"sync"

	"github.com/vanycast/vanycast/framework"
)

// letter is what the service has to say to an application: a client that it accepted,
// or the outcome of a handoff.
type letter struct {
	taken   *framework.Taken
	outcome bool // of a handoff
	client  uint64
	err     error
}

// outbox is what is still to be sent to an application, in order: the service does
// not wait for one that does not read. It holds no more than the application wanted.
type outbox struct {
	mu     sync.Mutex
	queue  []letter
	closed bool
	wake   sync.Cond
}

func newOutbox() *outbox {
	b := &outbox{}
	b.wake.L = &b.mu
	return b
}

// put adds a letter; after close nobody gets it.
func (b *outbox) put(l letter) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		if l.taken != nil {
			l.taken.Close()
		}
		return
	}
	b.queue = append(b.queue, l)
	b.wake.Signal()
}

// close lets run end when it has sent what is there.
func (b *outbox) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.wake.Signal()
}

// run sends until close.
func (b *outbox) run(send func(letter)) {
	var batch []letter
	for {
		b.mu.Lock()
		for len(b.queue) == 0 && !b.closed {
			b.wake.Wait()
		}
		if len(b.queue) == 0 {
			b.mu.Unlock()
			return
		}
		batch, b.queue = b.queue, batch[:0]
		b.mu.Unlock()
		for i, l := range batch {
			batch[i] = letter{}
			send(l)
		}
	}
}

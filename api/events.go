package api

import (
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/vanycast/vanycast/api/wire"
)

// followerQueue is how many events a follower may be behind.
const followerQueue = 256

// hub spreads events to followers.
type hub struct {
	mu        sync.Mutex
	followers map[chan wire.Event]bool
	closed    bool
}

func newHub() *hub { return &hub{followers: make(map[chan wire.Event]bool)} }

// follow gives a channel that ends when the follower is too slow, or the hub is
// closed.
func (h *hub) follow() chan wire.Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	ch := make(chan wire.Event, followerQueue)
	if h.closed {
		close(ch)
	} else {
		h.followers[ch] = true
	}
	return ch
}

func (h *hub) leave(ch chan wire.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.drop(ch)
}

// drop ends a follower. With h.mu.
func (h *hub) drop(ch chan wire.Event) {
	if h.followers[ch] {
		delete(h.followers, ch)
		close(ch)
	}
}

func (h *hub) publish(e wire.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for ch := range h.followers {
		select {
		case ch <- e:
		default:
			h.drop(ch)
		}
	}
}

func (h *hub) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for ch := range h.followers {
		h.drop(ch)
	}
}

// serveEvents writes one event a line until the follower leaves or is too slow.
func (s *Server) serveEvents(w http.ResponseWriter, r *http.Request) {
	ch := s.events.follow()
	defer s.events.leave(ch)
	c := http.NewResponseController(w)
	w.Header().Set("Content-Type", "application/jsonl")
	w.WriteHeader(http.StatusOK)
	out := json.NewEncoder(w) // ends each value with a newline
	for err := c.Flush(); err == nil; {
		select {
		case <-r.Context().Done():
			return
		case e, ok := <-ch:
			if !ok {
				return
			}
			if err = c.SetWriteDeadline(time.Now().Add(writeTimeout)); err == nil {
				err = out.Encode(e)
			}
			if err == nil && len(ch) == 0 {
				err = c.Flush()
			}
		}
	}
}

package peer

import (
	"fmt"
	"sync"
)

// message is a whole request, response or error.
type message struct {
	typ  frameType
	kind Kind
	id   uint64
	body []byte
	// refused: it did not fit into the budget and body is not there.
	refused bool
}

// assembler puts fragments together. Its memory is bounded: a message by
// maxMessage, the number of unfinished requests by maxInFlight, all together by
// the budget; responses are kept only while somebody waits for them.
type assembler struct {
	mu                      sync.Mutex
	maxMessage, maxInFlight int
	budget                  *budget
	awaited                 func(id uint64) bool // is there a call with that id
	requests, responses     map[uint64]*message
}

func newAssembler(maxMessage, maxInFlight int, b *budget, awaited func(uint64) bool) *assembler {
	return &assembler{
		maxMessage: maxMessage, maxInFlight: maxInFlight, budget: b, awaited: awaited,
		requests: make(map[uint64]*message), responses: make(map[uint64]*message),
	}
}

// add takes a request, response or error frame and returns the message that it
// completes, if any. The budget that the message's body took is the receiver's
// to release.
func (a *assembler) add(h header, payload []byte) (*message, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	parts := a.requests
	if h.typ != frameRequest {
		parts = a.responses
		if !a.awaited(h.id) {
			a.drop(parts, h.id) // the caller gave up: so do we
			return nil, nil
		}
	}
	m := parts[h.id]
	switch {
	case m == nil && len(parts) >= a.maxInFlight:
		return nil, &ProtocolError{fmt.Sprintf("more than %d messages begun", a.maxInFlight)}
	case m == nil:
		m = &message{typ: h.typ, kind: h.kind, id: h.id}
	case m.typ != h.typ || m.kind != h.kind:
		return nil, &ProtocolError{fmt.Sprintf("message %d goes on as another", h.id)}
	}
	if len(m.body)+len(payload) > a.maxMessage {
		return nil, &ProtocolError{fmt.Sprintf("message %d is longer than %d bytes", h.id, a.maxMessage)}
	}
	if !m.refused && !a.budget.take(len(payload)) {
		a.budget.release(len(m.body))
		m.body, m.refused = nil, true
	}
	if !m.refused {
		m.body = append(m.body, payload...)
	}
	if h.more {
		parts[h.id] = m
		return nil, nil
	}
	delete(parts, h.id)
	return m, nil
}

// dropRequest forgets an unfinished request and tells whether there was one.
func (a *assembler) dropRequest(id uint64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.drop(a.requests, id)
}

// dropResponse forgets what came of a response that nobody awaits any more.
func (a *assembler) dropResponse(id uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.drop(a.responses, id)
}

func (a *assembler) drop(parts map[uint64]*message, id uint64) bool {
	m := parts[id]
	if m == nil {
		return false
	}
	a.budget.release(len(m.body))
	delete(parts, id)
	return true
}

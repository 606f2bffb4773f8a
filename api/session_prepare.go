package api

import (
	"fmt"

	"github.com/vanycast/vanycast/api/wire"
)

// maxPrepares bounds what one application may have prepared at one time.
const maxPrepares = 64

// prepare has a handoff prepared and says how that went. It ends by itself, or
// with the session.
func (s *session) prepare(f *wire.Frame) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := &wire.Message{Kind: wire.KindPrepared, Client: f.Client, Tag: f.Tag}
	if s.prepares >= maxPrepares {
		m.Failure = &wire.Failure{Code: wire.CodeFailed, Target: f.Target, Text: fmt.Sprintf("%d handoffs are being prepared already", s.prepares)}
		return s.wire.Send(m, nil, -1)
	}
	s.prepares++
	s.work.Go(func() {
		if err := s.ss.Prepare(s.ctx, f.Client, f.Target); err != nil {
			m.Failure = failure(err)
		}
		s.mu.Lock()
		s.prepares--
		s.mu.Unlock()
		s.wire.Send(m, nil, -1) // an error ends the session
	})
	return nil
}

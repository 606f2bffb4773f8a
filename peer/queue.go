package peer

// outgoing is one message on its way out.
type outgoing struct {
	typ  frameType
	kind Kind
	id   uint64
	body []byte
	off  int // how much of body went out

	begun bool // its first fragment went to the writer
	whole bool // its last did: the peer may act on it
}

// sendQueue holds what waits for the writer. Its messages take turns, one
// fragment each, so that a long one delays the others by no more than
// maxFragment. Its length is bounded by the calls and requests in flight; not
// safe for concurrent use.
type sendQueue struct{ q []*outgoing }

func (s *sendQueue) push(m *outgoing) { s.q = append(s.q, m) }

func (s *sendQueue) empty() bool { return len(s.q) == 0 }

// remove takes out a message that did not go out whole and tells whether it was
// there.
func (s *sendQueue) remove(m *outgoing) bool {
	for i, x := range s.q {
		if x == m {
			s.q = append(s.q[:i], s.q[i+1:]...)
			return true
		}
	}
	return false
}

// fill appends frames to b until no frame fits into limit bytes any more or the
// queue is empty.
func (s *sendQueue) fill(b []byte, limit int) []byte {
	taken := 0
	for taken < len(s.q) {
		m := s.q[taken]
		n := min(len(m.body)-m.off, maxFragment)
		if len(b) > 0 && len(b)+headerLen+n > limit {
			break
		}
		more := m.off+n < len(m.body)
		b = header{length: n, typ: m.typ, more: more, kind: m.kind, id: m.id}.append(b)
		b = append(b, m.body[m.off:m.off+n]...)
		m.off += n
		m.begun = true
		taken++
		if more {
			s.q = append(s.q, m)
		} else {
			m.whole = true
		}
	}
	left := copy(s.q, s.q[taken:]) // the next batch has the same memory
	clear(s.q[left:])
	s.q = s.q[:left]
	return b
}

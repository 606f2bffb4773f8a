package main

import "fmt"

// maxHistory bounds what is remembered of a client, in bytes. The thesis's
// server wrote beyond its 1024; this one forgets the oldest.
const maxHistory = 64 << 10

// session is what the server knows of one client: the thesis's client_state.
// It is pure: bytes in, bytes and a verdict out.
type session struct {
	silent  bool   // -s: only 'Q' is answered at the end, lines are not echoed
	history []byte // all that the client sent, with '/' for each line end
	line    int    // where in history the line begins that is being received
}

// verdict says what is to be done after a byte.
type verdict int

const (
	goOn verdict = iota
	handOff
	quit
)

// greeting announces who serves the client. It is there only to make a handoff
// visible.
func greeting(worker int, name string) string {
	return fmt.Sprintf("\nHi, I'm worker %d on %s and I will continue echoing your data!\n", worker, name)
}

// feed takes one byte from the client and appends the answer to out.
//
// It does what the source in the thesis's appendix B does, less its mistakes:
// the first byte of the first line is echoed too, and no NUL is sent.
func (s *session) feed(out []byte, c byte) ([]byte, verdict) {
	switch c {
	case '\n':
		if s.silent {
			s.remember(c)
			return out, goOn
		}
		out = append(out, "\necho >"...)
		out = append(out, s.history[s.line:]...)
		out = append(out, "\n\n"...)
		s.remember('/')
		s.line = len(s.history)
	case '\r': // telnet ends a line with both
	case '!':
		out = append(out, "\nWritten so far: "...)
		out = append(out, s.history...)
		out = append(out, '\n')
		s.remember(c)
	case 'H':
		return out, handOff
	case 'Q':
		if s.silent {
			return append(out, 'Q'), quit
		}
		out = append(out, s.history...)
		return append(out, "\n\n"...), quit
	default:
		s.remember(c)
	}
	return out, goOn
}

// remember adds a byte to the history. A full history loses its oldest quarter.
func (s *session) remember(c byte) {
	if len(s.history) == maxHistory {
		const lost = maxHistory / 4
		s.history = s.history[:copy(s.history, s.history[lost:])]
		s.line = max(s.line-lost, 0)
	}
	s.history = append(s.history, c)
}

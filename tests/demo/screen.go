package main

import (
	"io"
	"strings"
	"sync"
)

// screen copies what appears on a terminal, each line set apart from our own
// words.
type screen struct {
	mu     sync.Mutex
	out    io.Writer
	inLine bool
}

const margin = "    | "

func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var text strings.Builder
	for _, c := range string(b) {
		if !s.inLine {
			text.WriteString(margin)
		}
		text.WriteRune(c)
		s.inLine = c != '\n'
	}
	_, err := io.WriteString(s.out, text.String())
	return len(b), err
}

// end ends the last line if the program did not.
func (s *screen) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.inLine {
		_, _ = io.WriteString(s.out, "\n")
		s.inLine = false
	}
}

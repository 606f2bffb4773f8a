package uml

import (
	"bytes"
	"io"
	"strings"
)

// The guest's init frames what its command prints by these lines, so that the
// kernel's own words stay apart.
const (
	commandBegins = "--- uml: the command begins ---"
	commandEnds   = "--- uml: the command ends ---"
)

// between passes on what is written between the two lines.
type between struct {
	to      io.Writer
	line    []byte // the beginning of one that is not passed on
	inside  bool
	passing bool // the rest of this line
}

// Write implements io.Writer: piece by piece, for somebody may be watching.
func (b *between) Write(p []byte) (int, error) {
	for _, c := range p {
		b.line = append(b.line, c)
		text := string(bytes.TrimRight(b.line, "\r\n"))
		whole := c == '\n'
		if b.inside && !b.passing && (whole || !strings.HasPrefix(commandEnds, text)) {
			b.passing = !whole || text != commandEnds // not the line that ends
			b.inside = b.passing
		}
		if b.passing {
			if _, err := b.to.Write(b.line); err != nil {
				return 0, err
			}
			b.line = b.line[:0]
		}
		if whole {
			b.inside = b.inside || text == commandBegins
			b.passing = false
			b.line = b.line[:0]
		}
	}
	return len(p), nil
}

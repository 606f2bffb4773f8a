package conf

import (
	"strconv"
	"strings"
)

// located knows the line of every key of a TOML document. The TOML library
// tells positions only for what it finds wrong itself; the mistakes reported
// here are mostly of meaning, so the lines are found by a second, shallow walk.
type located struct {
	file  string
	lines map[string]int // by path: "service[0].port"
}

// line of a path, or of the nearest enclosing one that is written out (the
// keys of an inline table have the line of that table).
func (l *located) line(path string) int {
	for path != "" {
		if n, ok := l.lines[path]; ok {
			return n
		}
		cut := strings.LastIndexAny(path, ".[")
		path = path[:max(cut, 0)]
	}
	return 1
}

// locate walks a document that the TOML library has accepted. On any other
// input it still ends, with lines that mean nothing.
func locate(file string, doc []byte) *located {
	w := &walker{doc: doc, line: 1, tables: map[string]int{}, out: map[string]int{}}
	for w.blank(); w.pos < len(w.doc); w.blank() {
		w.statement()
	}
	return &located{file: file, lines: w.out}
}

type walker struct {
	doc    []byte
	pos    int
	line   int
	prefix string         // the table that keys belong to now
	tables map[string]int // arrays of tables: elements so far
	out    map[string]int
}

func (w *walker) peek() byte {
	if w.pos < len(w.doc) {
		return w.doc[w.pos]
	}
	return 0
}

// next steps over one byte and counts lines.
func (w *walker) next() byte {
	if w.pos >= len(w.doc) {
		return 0
	}
	c := w.doc[w.pos]
	w.pos++
	if c == '\n' {
		w.line++
	}
	return c
}

// blank skips white space, line ends, comments and a byte order mark.
func (w *walker) blank() {
	for w.pos < len(w.doc) {
		switch c := w.peek(); {
		case c == '#':
			w.restOfLine()
		case c <= ' ' || c >= 0x80:
			w.next()
		default:
			return
		}
	}
}

func (w *walker) restOfLine() {
	for w.pos < len(w.doc) && w.peek() != '\n' {
		w.next()
	}
}

// statement takes one header or one key with its value.
func (w *walker) statement() {
	line := w.line
	if w.peek() == '[' {
		w.next()
		array := w.peek() == '['
		if array {
			w.next()
		}
		w.header(w.key("]"), array, line)
		w.restOfLine()
		return
	}
	w.record(w.prefix, w.key("="), line)
	w.value()
}

// header enters a table, or the next element of an array of tables.
func (w *walker) header(pieces []string, array bool, line int) {
	path := ""
	for i, p := range pieces {
		path = join(path, p)
		if array && i == len(pieces)-1 {
			w.tables[path]++
		}
		w.note(path, line)
		if n := w.tables[path]; n > 0 {
			path += "[" + strconv.Itoa(n-1) + "]"
			w.note(path, line)
		}
	}
	w.prefix = path
}

func (w *walker) record(path string, pieces []string, line int) {
	for _, p := range pieces {
		path = join(path, p)
		w.note(path, line)
	}
}

func (w *walker) note(path string, line int) {
	if _, ok := w.out[path]; !ok {
		w.out[path] = line
	}
}

func join(path, piece string) string {
	if path == "" {
		return piece
	}
	return path + "." + piece
}

// key reads a dotted key up to and with the byte that ends it.
func (w *walker) key(end string) []string {
	var pieces []string
	piece := ""
	for w.pos < len(w.doc) && w.peek() != '\n' {
		c := w.next()
		switch {
		case c == end[0]:
			return append(pieces, piece)
		case c == '.':
			pieces, piece = append(pieces, piece), ""
		case c == '"' || c == '\'':
			start := w.pos
			w.quoted(c)
			piece = string(w.doc[start:max(start, w.pos-1)])
		case c > ' ':
			piece += string(rune(c))
		}
	}
	return append(pieces, piece)
}

// value skips to the end of the line on which a value ends.
func (w *walker) value() {
	depth := 0
	for w.pos < len(w.doc) {
		switch c := w.next(); c {
		case '[', '{':
			depth++
		case ']', '}':
			depth--
		case '#':
			w.restOfLine()
		case '"', '\'':
			w.quoted(c)
		case '\n':
			if depth <= 0 {
				return
			}
		}
	}
}

// quoted skips the rest of a string whose first quote was taken: of one line,
// or between triple quotes.
func (w *walker) quoted(q byte) {
	triple := strings.Repeat(string(q), 3)
	if strings.HasPrefix(string(w.doc[w.pos:min(w.pos+2, len(w.doc))]), triple[:2]) {
		w.next()
		w.next()
		for w.pos < len(w.doc) {
			if w.peek() == '\\' && q == '"' {
				w.next()
			} else if strings.HasPrefix(string(w.doc[w.pos:min(w.pos+3, len(w.doc))]), triple) {
				for w.peek() == q { // up to two quotes may belong to the text
					w.next()
				}
				return
			}
			w.next()
		}
		return
	}
	for w.pos < len(w.doc) && w.peek() != '\n' {
		c := w.next()
		if c == '\\' && q == '"' {
			w.next()
		} else if c == q {
			return
		}
	}
}

package main

import (
	"fmt"
	"io"
	"net/netip"
	"strings"
	"text/tabwriter"
	"time"
)

// table prints rows under a heading in columns.
type table struct {
	w *tabwriter.Writer
}

func newTable(w io.Writer, heading ...string) *table {
	t := &table{tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)}
	if len(heading) > 0 {
		t.line(heading)
	}
	return t
}

// row prints one line. Empty cells become "-", so that columns can be cut.
func (t *table) row(cells ...any) {
	line := make([]string, len(cells))
	for i, c := range cells {
		line[i] = cell(c)
	}
	t.line(line)
}

func (t *table) line(cells []string) { fmt.Fprintln(t.w, strings.Join(cells, "\t")) }

func (t *table) flush() error { return t.w.Flush() }

// cell writes a value as people read it. Text that came from elsewhere keeps to
// its line and its terminal.
func cell(v any) string {
	s := ""
	switch v := v.(type) {
	case time.Time:
		if !v.IsZero() {
			s = v.Local().Format("2006-01-02 15:04:05")
		}
	case netip.Addr:
		if v.IsValid() {
			s = v.String()
		}
	case netip.AddrPort:
		if v.IsValid() {
			s = v.String()
		}
	case bool:
		s = map[bool]string{true: "yes", false: "no"}[v]
	default:
		s = fmt.Sprint(v)
	}
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || (r >= 0x80 && r < 0xa0) {
			return ' '
		}
		return r
	}, s)
	if s == "" {
		return "-"
	}
	return s
}

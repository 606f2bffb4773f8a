package scenario

import (
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Command is one line: a name, then words and key=value pairs.
type Command struct {
	Name string
	args map[string]string
	line string
	t    *testing.T
}

// Parse takes a line apart.
func Parse(t *testing.T, line string) Command {
	words := strings.Fields(line)
	c := Command{Name: words[0], args: map[string]string{}, line: line, t: t}
	for _, w := range words[1:] {
		k, v, _ := strings.Cut(w, "=")
		c.args[k] = v
	}
	return c
}

// Has tells whether a word or a key is there.
func (c Command) Has(key string) bool { _, ok := c.args[key]; return ok }

// String is a key's value, or def without it.
func (c Command) String(key, def string) string {
	if v, ok := c.args[key]; ok {
		return v
	}
	return def
}

// Int is a number.
func (c Command) Int(key string, def int) int {
	v, ok := c.args[key]
	if !ok {
		return def
	}
	n, err := strconv.Atoi(v)
	c.check(err)
	return n
}

// Seconds is a number of seconds.
func (c Command) Seconds(key string, def int) time.Duration {
	return time.Duration(c.Int(key, def)) * time.Second
}

// Duration is a Go duration.
func (c Command) Duration(key string) time.Duration {
	d, err := time.ParseDuration(c.args[key])
	c.check(err)
	return d
}

// Addr is an address; def is one, too, or "" for none.
func (c Command) Addr(key, def string) netip.Addr {
	v := c.String(key, def)
	if v == "" {
		return netip.Addr{}
	}
	a, err := netip.ParseAddr(v)
	c.check(err)
	return a
}

// Unknown ends the test: the harness does not know this command.
func (c Command) Unknown() string {
	c.t.Helper()
	c.t.Fatalf("unknown command %q", c.line)
	return ""
}

func (c Command) check(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatalf("%q: %v", c.line, err)
	}
}

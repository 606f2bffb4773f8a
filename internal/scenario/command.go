package scenario

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Command is one line: a name, then words, some of them key=value pairs.
type Command struct {
	Name  string
	Words []string // those after the name

	args  map[string]string
	line  string
	where string
	t     *testing.T
}

func parse(t *testing.T, where, line string) Command {
	words := strings.Fields(line)
	c := Command{Name: words[0], Words: words[1:], args: map[string]string{}, line: line, where: where, t: t}
	for _, w := range c.Words {
		k, v, _ := strings.Cut(w, "=")
		c.args[k] = v
	}
	return c
}

// Text is everything after the name.
func (c Command) Text() string { return strings.TrimSpace(strings.TrimPrefix(c.line, c.Name)) }

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
	c.t.Helper()
	v, ok := c.args[key]
	if !ok {
		return def
	}
	n, err := strconv.Atoi(v)
	c.Check(err)
	return n
}

// Seconds is a number of seconds.
func (c Command) Seconds(key string, def int) time.Duration {
	c.t.Helper()
	return time.Duration(c.Int(key, def)) * time.Second
}

// Duration is a Go duration.
func (c Command) Duration(key string) time.Duration {
	c.t.Helper()
	d, err := time.ParseDuration(c.args[key])
	c.Check(err)
	return d
}

// Addr is an address; def is one, too, or "" for none.
func (c Command) Addr(key, def string) netip.Addr {
	c.t.Helper()
	v := c.String(key, def)
	if v == "" {
		return netip.Addr{}
	}
	a, err := netip.ParseAddr(v)
	c.Check(err)
	return a
}

// Unknown ends the test: the harness does not know this command.
func (c Command) Unknown() string {
	c.t.Helper()
	return c.Fatalf("unknown command")
}

// Check ends the test if the command could not be carried out.
func (c Command) Check(err error) {
	c.t.Helper()
	if err != nil {
		c.Fatalf("%v", err)
	}
}

// Fatalf ends the test, saying at which line; so it returns nothing.
func (c Command) Fatalf(format string, args ...any) string {
	c.t.Helper()
	c.t.Fatalf("%s: %s: %s", c.where, c.line, fmt.Sprintf(format, args...))
	return ""
}

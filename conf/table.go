package conf

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// reader collects the mistakes of one file.
type reader struct {
	where *located
	errs  Errors
}

// fail reports a mistake at a path such as "service[0].port".
func (r *reader) fail(path, format string, args ...any) {
	r.errs = append(r.errs, r.where.error(path, format, args...))
}

func (l *located) error(path, format string, args ...any) *Error {
	return &Error{File: l.file, Line: l.line(path), Key: plain(path), Message: fmt.Sprintf(format, args...)}
}

// plain takes the indices out of a path: the line says which element is meant.
func plain(path string) string {
	for {
		i := strings.IndexByte(path, '[')
		j := strings.IndexByte(path, ']')
		if i < 0 || j < i {
			return path
		}
		path = path[:i] + path[j+1:]
	}
}

// table reads the keys of one section by name and type. A getter gives the
// default if the key is missing or its value is wrong; the mistake is noted.
type table struct {
	*reader
	path string
	m    map[string]any
	used map[string]bool
}

func (r *reader) table(path string, m map[string]any) *table {
	return &table{reader: r, path: path, m: m, used: map[string]bool{}}
}

func (t *table) at(key string) string { return join(t.path, key) }

func (t *table) fail(key, format string, args ...any) { t.reader.fail(t.at(key), format, args...) }

func (t *table) has(key string) bool { _, ok := t.m[key]; return ok }

// require notes each key that is not there.
func (t *table) require(keys ...string) {
	for _, key := range keys {
		if !t.has(key) {
			t.fail(key, "is missing")
		}
	}
}

// unknown notes the keys that no getter asked for. It is called last.
func (t *table) unknown() {
	var keys []string
	for key := range t.m {
		if !t.used[key] {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	for _, key := range keys {
		t.fail(key, "is not a key of this section")
	}
}

// get takes a value of one of TOML's own types.
func get[T any](t *table, key, want string) (v T, ok bool) {
	t.used[key] = true
	raw, there := t.m[key]
	if !there {
		return v, false
	}
	if v, ok = raw.(T); !ok {
		t.fail(key, "must be %s", want)
	}
	return v, ok
}

func (t *table) str(key, def string) string {
	s, ok := get[string](t, key, "a string in quotes")
	switch {
	case !ok:
		return def
	case s == "" || strings.ContainsAny(s, "\x00\n\r"):
		t.fail(key, "must be a text of one line, not empty")
		return def
	}
	return s
}

func (t *table) boolean(key string) bool {
	b, _ := get[bool](t, key, "true or false")
	return b
}

// flag is boolean with a default.
func (t *table) flag(key string, def bool) bool {
	if b, ok := get[bool](t, key, "true or false"); ok {
		return b
	}
	return def
}

func (t *table) integer(key string, def, low, high int) int {
	n, ok := get[int64](t, key, "a whole number")
	if !ok {
		return def
	}
	if n < int64(low) || n > int64(high) {
		t.fail(key, "%d is out of range: %d to %d", n, low, high)
		return def
	}
	return int(n)
}

func (t *table) port(key string) uint16 {
	return uint16(t.integer(key, 0, 1, math.MaxUint16))
}

// duration above zero and up to high.
func (t *table) duration(key string, def, high time.Duration) time.Duration {
	s, ok := get[string](t, key, `a duration in quotes, as "1s"`)
	if !ok {
		return def
	}
	d, err := time.ParseDuration(s)
	switch {
	case err != nil:
		t.fail(key, `%q is not a duration, as "1s" or "500ms"`, s)
	case d <= 0:
		t.fail(key, "%s must be above zero", s)
	case d > high:
		t.fail(key, "%s is too long: at most %s", s, high)
	default:
		return d
	}
	return def
}

// lifetime is a duration that a Binding Update can carry.
func (t *table) lifetime(key string, def, high time.Duration) time.Duration {
	d := t.duration(key, def, high)
	if d%lifetimeUnit != 0 {
		t.fail(key, "%s is not a multiple of %s (RFC 6275 §6.1.7)", d, lifetimeUnit)
		return def
	}
	return d
}

// seconds is a duration of whole seconds.
func (t *table) seconds(key string, def, high time.Duration) time.Duration {
	d := t.duration(key, def, high)
	if d%time.Second != 0 {
		t.fail(key, "%s is not a whole number of seconds", d)
		return def
	}
	return d
}

func (t *table) oneOf(key, def string, values ...string) string {
	s := t.str(key, def)
	if !slices.Contains(values, s) {
		t.fail(key, "%q is unknown; one of: %s", s, strings.Join(values, ", "))
		return def
	}
	return s
}

func (t *table) address(key string) netip.Addr {
	s, ok := get[string](t, key, "an IPv6 address in quotes")
	if !ok {
		return netip.Addr{}
	}
	a, err := unicast(s)
	if err != nil {
		t.fail(key, "%v", err)
	}
	return a
}

// strings gives the elements of a list, each with its path.
func (t *table) list(key string) []string {
	raw, ok := get[[]any](t, key, "a list, as [\"…\", \"…\"]")
	if !ok {
		return nil
	}
	if len(raw) > maxList {
		t.fail(key, "has %d elements: at most %d", len(raw), maxList)
		return nil
	}
	var out []string
	for i, v := range raw {
		s, ok := v.(string)
		if !ok {
			t.fail(key, "element %d must be a string in quotes", i+1)
			continue
		}
		if slices.Contains(out, s) {
			t.fail(key, "%q is there twice", s)
			continue
		}
		out = append(out, s)
	}
	return out
}

func (t *table) addresses(key string) []netip.Addr {
	var out []netip.Addr
	for _, s := range t.list(key) {
		a, err := unicast(s)
		switch {
		case err != nil:
			t.fail(key, "%v", err)
		case slices.Contains(out, a):
			t.fail(key, "%s is there twice", a)
		default:
			out = append(out, a)
		}
	}
	return out
}

func (t *table) prefix(key, s string) netip.Prefix {
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil || !p.Addr().Is6() || p.Addr().Is4In6():
		t.fail(key, `%q is not an IPv6 prefix, as "2001:db8:9::/64"`, s)
	case p.Masked() != p:
		t.fail(key, "%s has bits set beyond its length; meant: %s?", s, p.Masked())
	default:
		return p
	}
	return netip.Prefix{}
}

// unicast parses an address that a host can have and others can reach.
func unicast(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	switch {
	case err != nil || a.Is4() || a.Is4In6():
		return netip.Addr{}, fmt.Errorf("%q is not an IPv6 address", s)
	case a.Zone() != "" || !a.IsGlobalUnicast():
		return netip.Addr{}, fmt.Errorf("%s is not a global unicast address", s)
	}
	return a, nil
}

package conf

import (
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	"github.com/google/go-cmp/cmp"
)

// Everything that can stand before a key and make a careless walk lose count.
func TestLocate(t *testing.T) {
	doc := "\ufeff# comment with [a] and k = 1\r\n" + // 1
		"top = 1\r\n" + // 2
		"[a]  # comment\n" + // 3
		"s = \"a # [b] \\\" c\" # x\n" + // 4
		"lit = 'c:\\'\n" + // 5
		"m = \"\"\"\n" + // 6
		"x = 1\n" + // 7
		"[no] \\\"\"\" y = 2\n" + // 8
		"\"\"\"\"\n" + // 9
		"l = '''\n" + // 10
		"[no]''''\n" + // 11
		"list = [ # [\n" + // 12
		"  \"]\", # ]\n" + // 13
		"  [1, 2], {q = 1},\n" + // 14
		"]\n" + // 15
		"after = 1\n" + // 16
		"[b.\"c d\" . e]\n" + // 17
		"f . g = { h = 1 }\n" + // 18
		"[[s]]\n" + // 19
		"n = 1\n" + // 20
		"[[ s ]]\n" + // 21
		"n = 2\n" + // 22
		"[s.sub]\n" + // 23
		"z = 1\n" // 24
	var v any
	if _, err := toml.Decode(doc, &v); err != nil {
		t.Fatalf("the document is not TOML: %v", err)
	}
	l := locate("x", []byte(doc))
	got := map[string]int{}
	want := map[string]int{
		"top": 2, "a": 3, "a.s": 4, "a.lit": 5, "a.m": 6, "a.l": 10, "a.list": 12, "a.after": 16,
		"b": 17, "b.c d": 17, "b.c d.e": 17, "b.c d.e.f": 18, "b.c d.e.f.g": 18, "b.c d.e.f.g.h": 18,
		"s": 19, "s[0]": 19, "s[0].n": 20, "s[1]": 21, "s[1].n": 22, "s[1].sub": 23, "s[1].sub.z": 24,
		"s[1].missing": 21, "a.list[1]": 12, "nowhere": 1, "": 1,
	}
	for path := range want {
		got[path] = l.line(path)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	for path := range l.lines {
		if strings.HasSuffix(path, "no") || strings.HasSuffix(path, ".x") {
			t.Errorf("%q was found inside a string", path)
		}
	}
}

package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// play feeds a client's bytes to workers; before the byte at each position of
// cuts, and at each 'H', the session goes to the next one as a state blob.
func play(t interface{ Fatal(...any) }, silent bool, input string, cuts map[int]bool, greet bool) string {
	var out []byte
	s := &session{silent: silent}
	worker := 1
	hello := func() {
		if greet {
			out = append(out, greeting(worker, "Glass")...)
		}
	}
	next := func() {
		n := &session{silent: silent}
		if err := n.unmarshal(s.marshal()); err != nil {
			t.Fatal(err)
		}
		s = n
		worker++
		hello()
	}
	hello()
	for i := range len(input) {
		if cuts[i] {
			next()
		}
		var v verdict
		out, v = s.feed(out, input[i])
		switch v {
		case handOff:
			next()
		case quit:
			return string(out)
		}
	}
	return string(out)
}

func TestSession(t *testing.T) {
	for _, tc := range []struct {
		name   string
		silent bool
		input  string
		want   string
	}{
		{"nothing", false, "", ""},
		{"line", false, "Please echo my data\n", "\necho >Please echo my data\n\n"},
		{"telnet's line end", false, "ab\r\n", "\necho >ab\n\n"},
		{"carriage return alone", false, "a\rb\n", "\necho >ab\n\n"},
		{"empty lines", false, "\n\n", "\necho >\n\n\necho >\n\n"},
		{"no line end, no echo", false, "abc", ""},
		{"all, at the start", false, "!", "\nWritten so far: \n"},
		{"all, twice in a line", false, "a!b!", "\nWritten so far: a\n\nWritten so far: a!b\n"},
		{"all after lines", false, "a\nb\n!c\n", "\necho >a\n\n\necho >b\n\n\nWritten so far: a/b/\n\necho >!c\n\n"},
		{"handoff leaves no trace", false, "I want a Handover\n", "\necho >I want a andover\n\n"},
		{"quit", false, "a\nbQc\n", "\necho >a\n\na/b\n\n"},
		{"silent line", true, "abc\n", ""},
		{"silent all", true, "a\nb!", "\nWritten so far: a\nb\n"},
		{"silent quit", true, "a\nbQ", "Q"},
		{"any byte", false, "\x00\xff\x80\n", "\necho >\x00\xff\x80\n\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if d := cmp.Diff(tc.want, play(t, tc.silent, tc.input, nil, false)); d != "" {
				t.Errorf("(-want +got)\n%s", d)
			}
			// The same with the client handed to another worker at every position.
			for cut := range len(tc.input) {
				if got := play(t, tc.silent, tc.input, map[int]bool{cut: true}, false); got != tc.want {
					t.Errorf("handed across before byte %d: %q, want %q", cut, got, tc.want)
				}
			}
		})
	}
}

// The session of the thesis's §6.2.2.
func TestThesisSession(t *testing.T) {
	input := strings.ReplaceAll(`Please echo my data
Some more data
!Echo all up to now
I want a Handover
Another Handover please
I want more Handovers directly after each other: HiHaHoHeHuHa and echo this sentence
!Echo all up to now
Q
`, "\n", "\r\n")
	hi := func(n ...int) string {
		s := ""
		for _, n := range n {
			s += greeting(n, "Glass")
		}
		return s
	}
	history := "Please echo my data/Some more data/!Echo all up to now/I want a andover/Another andover please/" +
		"I want more andovers directly after each other: iaoeua and echo this sentence/"
	want := hi(1) +
		"\necho >Please echo my data\n\n" +
		"\necho >Some more data\n\n" +
		"\nWritten so far: Please echo my data/Some more data/\n" +
		"\necho >!Echo all up to now\n\n" +
		hi(2) + "\necho >I want a andover\n\n" +
		hi(3) + "\necho >Another andover please\n\n" +
		hi(4, 5, 6, 7, 8, 9, 10) +
		"\necho >I want more andovers directly after each other: iaoeua and echo this sentence\n\n" +
		"\nWritten so far: " + history + "\n" +
		"\necho >!Echo all up to now\n\n" +
		history + "!Echo all up to now/\n\n"
	if d := cmp.Diff(want, play(t, false, input, nil, true)); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

// Wherever the client is handed across, the answers are the same.
func TestHandoffsDoNotShow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		input := rapid.StringOfN(rapid.RuneFrom([]rune("ab!H\r\nQ\x00é")), 0, 60, -1).Draw(t, "input")
		if rapid.Bool().Draw(t, "long") {
			input = strings.Repeat("0123456789abcdef", maxHistory/16-1) + input
		}
		silent := rapid.Bool().Draw(t, "silent")
		cuts := map[int]bool{}
		for _, at := range rapid.SliceOf(rapid.IntRange(0, len(input))).Draw(t, "cuts") {
			cuts[at] = true
		}
		if whole, cut := play(t, silent, input, nil, false), play(t, silent, input, cuts, false); whole != cut {
			t.Fatalf("with handoffs %q, without %q", cut, whole)
		}
	})
}

func TestHistoryIsBounded(t *testing.T) {
	s := &session{}
	for i := range 3 * maxHistory {
		s.feed(nil, byte('a'+i%26))
		if len(s.history) > maxHistory {
			t.Fatalf("after %d bytes %d are kept", i+1, len(s.history))
		}
	}
	out, _ := s.feed(nil, '\n')
	tail := make([]byte, maxHistory/2)
	for i := range tail {
		tail[i] = byte('a' + (3*maxHistory-len(tail)+i)%26)
	}
	if got := strings.TrimSuffix(string(out), "\n\n"); !strings.HasSuffix(got, string(tail)) {
		t.Error("the newest bytes are not what is kept")
	}
	if s.line != len(s.history) {
		t.Errorf("line begins at %d of %d", s.line, len(s.history))
	}
}

func TestUnmarshalRefuses(t *testing.T) {
	for name, b := range map[string][]byte{
		"short":        {1, 0, 0, 0},
		"version":      {2, 0, 0, 0, 0},
		"line outside": {1, 0, 0, 0, 2, 'a'},
		"line huge":    {1, 0xff, 0xff, 0xff, 0xff, 'a'},
		"too long":     append([]byte{1, 0, 0, 0, 0}, make([]byte, maxHistory+1)...),
	} {
		s := &session{}
		if err := s.unmarshal(b); !errors.Is(err, errState) {
			t.Errorf("%s: %v", name, err)
		}
		if s.history != nil || s.line != 0 {
			t.Errorf("%s: left something", name)
		}
	}
}

func FuzzUnmarshal(f *testing.F) {
	f.Add([]byte{1, 0, 0, 0, 1, 'a', '/'})
	f.Fuzz(func(t *testing.T, b []byte) {
		s := &session{}
		if s.unmarshal(b) != nil || len(b) == 0 {
			return
		}
		if got := string(s.marshal()); got != string(b) {
			t.Errorf("%q came back as %q", b, got)
		}
		s.feed(nil, '\n')
	})
}

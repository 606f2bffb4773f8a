// Package scenario replays the text files in which the roles' behaviour is
// written down: a command, a line of dashes, and what comes of it.
//
//	# RFC 6275 §9.5.1: a number that was used before
//	bu seq=7 life=420 ack
//	----
//	send …
//
// A file is one story: its commands run in order on the same state. With
// `go test -rewrite` the answers are written anew; read the difference before
// you commit it.
package scenario

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write the scenario files' answers anew")

const dashes = "----"

// Run replays every testdata/*.txt file; start is called once for each and
// returns what runs that file's commands.
func Run(t *testing.T, start func(t *testing.T) func(Command) string) {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			replay(t, file, start(t))
		})
	}
}

func replay(t *testing.T, file string, run func(Command) string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	for i := 0; i < len(lines); {
		line := lines[i]
		out.WriteString(line + "\n")
		i++
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if i < len(lines) && lines[i] == dashes {
			i++
		} else if !*rewrite {
			t.Fatalf("%s:%d: %q is not followed by %s", file, i, line, dashes)
		}
		at := i
		for i < len(lines) && lines[i] != "" { // an answer ends with an empty line
			i++
		}
		want := strings.Join(lines[at:i], "\n")
		got := strings.TrimRight(run(Parse(t, line)), "\n")
		if got != want && !*rewrite {
			t.Errorf("%s:%d: %s\n got:\n%s\nwant:\n%s", file, at-1, line, indent(got), indent(want))
		}
		out.WriteString(dashes + "\n")
		if got != "" {
			out.WriteString(got + "\n")
		}
	}
	if *rewrite {
		if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func indent(s string) string { return "\t" + strings.ReplaceAll(s, "\n", "\n\t") }

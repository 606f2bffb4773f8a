// Package scenario replays the text files in which a package's behaviour is
// written down: commands, a line of dashes, and what comes of them.
//
//	# RFC 6275 §9.5.1: a number that was used before
//	bu seq=7 life=420 ack
//	----
//	send …
//
// The answer ends with an empty line. A file is one story: its commands run in
// order on the same state, and every one has its answer asked for. With
// `go test ./the/package -update` the answers are written anew; read the
// difference before you commit it.
package scenario

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the scenario files' answers anew")

const dashes = "----"

// Run replays every testdata/*.txt file. start is called once for each and
// returns what runs that file's commands, one at a time, and returns what they
// print.
func Run(t *testing.T, start func(t *testing.T) func(Command) string) {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			run := start(t)
			now, mistakes := replay(string(text), func(number int, line string) string {
				return run(parse(t, fmt.Sprintf("%s:%d", file, number), line))
			})
			if *update {
				if err := os.WriteFile(file, []byte(now), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			for _, m := range mistakes {
				t.Errorf("%s:%d: %s", file, m.line, m.text)
			}
		})
	}
}

// mistake is where a file and what its commands print now differ; the line is
// where the answer stands, or should.
type mistake struct {
	line int
	text string
}

// replay runs a file's commands, and returns the file with what they print now.
func replay(file string, run func(number int, line string) string) (string, []mistake) {
	var out, printed strings.Builder
	var mistakes []mistake
	unasked := "" // the last command, until its answer is asked for
	answer := func() string {
		got := strings.TrimRight(printed.String(), "\n")
		printed.Reset()
		unasked = ""
		out.WriteString(dashes + "\n")
		if got != "" {
			out.WriteString(got + "\n")
		}
		return got
	}
	lines := strings.Split(strings.TrimRight(file, "\n"), "\n")
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		if line == dashes {
			at := i + 1
			for i+1 < len(lines) && lines[i+1] != "" {
				i++
			}
			want := strings.Join(lines[at:i+1], "\n")
			if got := answer(); got != want {
				mistakes = append(mistakes, mistake{at + 1, fmt.Sprintf("got:\n%s\nwant:\n%s", indent(got), indent(want))})
			}
			continue
		}
		out.WriteString(line + "\n")
		if line != "" && !strings.HasPrefix(line, "#") {
			printed.WriteString(run(i+1, line))
			unasked = line
		}
		if unasked != "" && (i+1 == len(lines) || lines[i+1] == "") {
			mistakes = append(mistakes, mistake{i + 2, fmt.Sprintf("%q is not followed by %s", unasked, dashes)})
			answer()
		}
	}
	return out.String(), mistakes
}

func indent(s string) string { return "\t" + strings.ReplaceAll(s, "\n", "\n\t") }

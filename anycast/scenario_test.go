package anycast

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var rewrite = flag.Bool("update", false, "rewrite the scenario files with what the core does now")

// TestScenarios replays testdata/*.txt: blocks of commands, then "----", then
// what the core does, up to an empty line. The commands are in world_test.go;
// "go test ./anycast -update" writes the answers anew.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := replay(t, file, string(b))
			if *rewrite {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(b), got); diff != "" {
				t.Errorf("(-file +now):\n%s", diff)
			}
		})
	}
}

// replay runs the commands of a file and returns the file with new answers.
func replay(t *testing.T, name, text string) string {
	w := newWorld(t)
	var out strings.Builder
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		switch {
		case line == "----":
			for i+1 < len(lines) && lines[i+1] != "" {
				i++
			}
			out.WriteString("----\n")
			for _, l := range w.take() {
				out.WriteString(l + "\n")
			}
		case line == "" || strings.HasPrefix(line, "#"):
			out.WriteString(line)
			if i+1 < len(lines) {
				out.WriteString("\n")
			}
		default:
			if err := w.command(strings.Fields(line)); err != nil {
				t.Fatalf("%s:%d: %s: %v, after\n%s", name, i+1, line, err, strings.Join(w.take(), "\n"))
			}
			out.WriteString(line + "\n")
		}
	}
	if left := w.take(); len(left) != 0 {
		t.Errorf("%s: the last commands' answers are not asked for:\n%s", name, strings.Join(left, "\n"))
	}
	w.checkInvariants()
	return out.String()
}

// seconds prints a moment of the scenario.
func seconds(d time.Duration) string { return fmt.Sprintf("%gs", d.Seconds()) }

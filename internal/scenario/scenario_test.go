package scenario

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A file that says what is so comes back as it is; one that does not comes back
// right, with each mistake at its line.
func TestReplay(t *testing.T) {
	right := "# two in a block\nsay a\n# between\nsay b\n----\na\nb\n\nsilent\n----\n\nsay c\n----\nc\n"
	for _, tc := range []struct {
		name, file string
		lines      []int
	}{
		{"right", right, nil},
		{"another answer", strings.Replace(right, "\na\nb\n", "\nx\ny\nz\n", 1), []int{6}},
		{"no answer", strings.Replace(right, "\na\nb\n", "\n", 1), []int{6}},
		{"an answer where there is none", strings.Replace(right, "silent\n----\n", "silent\n----\nx\n", 1), []int{11}},
		{"answer not asked for", strings.Replace(right, "----\na\nb\n", "", 1), []int{5}},
		{"answer not asked for at the end", strings.TrimSuffix(right, "----\nc\n"), []int{13}},
		{"dashes at the end", strings.TrimSuffix(right, "\nc\n"), []int{14}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var ran []string
			got, mistakes := replay(tc.file, func(number int, line string) string {
				if at := strings.Split(tc.file, "\n")[number-1]; at != line {
					t.Errorf("line %d is %q, not %q", number, at, line)
				}
				ran = append(ran, line)
				if text, ok := strings.CutPrefix(line, "say "); ok {
					return fmt.Sprintln(text)
				}
				return ""
			})
			if diff := cmp.Diff(right, got); diff != "" {
				t.Errorf("rewritten (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff([]string{"say a", "say b", "silent", "say c"}, ran); diff != "" {
				t.Errorf("commands (-want +got):\n%s", diff)
			}
			var lines []int
			for _, m := range mistakes {
				lines = append(lines, m.line)
			}
			if diff := cmp.Diff(tc.lines, lines); diff != "" {
				t.Errorf("lines of mistakes (-want +got):\n%s\n%+v", diff, mistakes)
			}
		})
	}
}

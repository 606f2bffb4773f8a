package uml

import (
	"bufio"
	"bytes"
	"regexp"
)

// Outcome of one test.
type Outcome string

const (
	Pass Outcome = "PASS"
	Fail Outcome = "FAIL"
	Skip Outcome = "SKIP"
)

// Result is one test that ran in the guest.
type Result struct {
	Name    string
	Outcome Outcome
}

// Results reads what a test binary run with -test.v printed: the tests that
// ended, in that order, and those that began and never ended.
func Results(output []byte) (ended []Result, unfinished []string) {
	begin := regexp.MustCompile(`^=== RUN\s+(\S+)`)
	end := regexp.MustCompile(`^\s*--- (PASS|FAIL|SKIP): (\S+)`)
	running := map[string]bool{}
	var order []string
	lines := bufio.NewScanner(bytes.NewReader(output))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := bytes.TrimRight(lines.Bytes(), "\r")
		if m := begin.FindSubmatch(line); m != nil {
			running[string(m[1])] = true
			order = append(order, string(m[1]))
		}
		if m := end.FindSubmatch(line); m != nil {
			delete(running, string(m[2]))
			ended = append(ended, Result{Name: string(m[2]), Outcome: Outcome(m[1])})
		}
	}
	for _, name := range order {
		if running[name] {
			unfinished = append(unfinished, name)
		}
	}
	return ended, unfinished
}

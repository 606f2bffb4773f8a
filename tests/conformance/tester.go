package conformance

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/vanycast/vanycast/tests/cluster"
	"github.com/vanycast/vanycast/tests/lab"
)

// python is Debian's own: python3-scapy is installed for no other.
const python = "/usr/bin/python3"

// Case is one line of the table: a case of the tester's catalogue.
type Case struct {
	Role    string `json:"role"`
	ID      string `json:"id"`      // of the test specification, or the section and a number
	Section string `json:"section"` // of RFC 6275 unless it says another
	Title   string `json:"title"`
	// Reason says why the case is not run on the wire, if it is not.
	Reason string `json:"reason"`
	// Elsewhere is the Go test that covers it then, as "package: Test/part".
	Elsewhere string `json:"elsewhere"`
}

// Result is what became of a case.
type Result struct {
	ID     string `json:"id"`
	Result string `json:"result"` // PASS or FAIL
	Detail string `json:"detail"`
}

// script is the tester's program.
func script() (string, error) {
	root, err := cluster.Root()
	if err != nil {
		return "", err
	}
	return filepath.Join(root, "tests", "conformance", "tester", "main.py"), nil
}

// Catalogue asks the tester for all its cases, in the table's order.
func Catalogue(ctx context.Context) ([]Case, error) {
	main, err := script()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, python, "-B", main, "list")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("conformance: list cases: %w: %s", err, strings.TrimSpace(stderr.String()))
	}
	var cases []Case
	if err := json.Unmarshal(out, &cases); err != nil {
		return nil, fmt.Errorf("conformance: list cases: %w", err)
	}
	return cases, nil
}

// runTester runs a role's cases from the tester's host against the node with
// this link-layer address. What the tester asks to be done to the node goes to
// obey, by name. keys is the folder of the key files, if there is one.
func runTester(ctx context.Context, host *lab.Host, role, mac, keys string, obey func(do string) error) ([]Result, error) {
	main, err := script()
	if err != nil {
		return nil, err
	}
	cmd := host.Command(ctx, python, "-B", main, "run", role, "eth0", mac)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	cmd.Env = append(os.Environ(), keysVariable+"="+keys)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	results, readErr := converse(bufio.NewScanner(stdout), stdin, obey)
	if err := cmd.Wait(); err != nil {
		return results, fmt.Errorf("conformance: tester for %s: %w: %s", role, err, strings.TrimSpace(stderr.String()))
	}
	return results, readErr
}

// converse takes the tester's lines: results, and orders, each answered when it
// has been carried out.
func converse(lines *bufio.Scanner, answers interface{ Write([]byte) (int, error) }, obey func(string) error) (results []Result, err error) {
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var line struct {
			Result
			Do string `json:"do"`
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return results, fmt.Errorf("conformance: the tester said %q: %w", lines.Text(), err)
		}
		if line.Do == "" {
			results = append(results, line.Result)
			continue
		}
		answer := "done\n"
		if err := obey(line.Do); err != nil {
			answer = "failed: " + strings.ReplaceAll(err.Error(), "\n", " ") + "\n"
		}
		if _, err := answers.Write([]byte(answer)); err != nil {
			return results, fmt.Errorf("conformance: answer the tester: %w", err)
		}
	}
	return results, lines.Err()
}

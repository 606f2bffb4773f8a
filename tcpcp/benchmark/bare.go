package benchmark

import (
	"context"
	_ "embed" // the C program travels in the binary
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

//go:embed testdata/bare.c
var bareSource []byte

// Reference is the C program, compiled.
type Reference struct{ path string }

// NewReference compiles it in a directory.
func NewReference(ctx context.Context, dir string) (*Reference, error) {
	source := filepath.Join(dir, "bare.c")
	if err := os.WriteFile(source, bareSource, 0o600); err != nil {
		return nil, err
	}
	r := &Reference{filepath.Join(dir, "bare")}
	out, err := exec.CommandContext(ctx, "gcc", "-O2", "-Wall", "-o", r.path, source).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("compiling the reference: %w: %s", err, out)
	}
	return r, nil
}

// Run runs it and returns the processor time of one move.
func (r *Reference) Run(ctx context.Context, queue, moves int) (time.Duration, error) {
	var stderr strings.Builder
	cmd := exec.CommandContext(ctx, r.path, strconv.Itoa(queue), strconv.Itoa(moves))
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return 0, fmt.Errorf("the reference: %w: %s", err, stderr.String())
	}
	ns, err := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
	if err != nil || ns <= 0 {
		return 0, fmt.Errorf("the reference said %q", out)
	}
	return time.Duration(ns), nil
}

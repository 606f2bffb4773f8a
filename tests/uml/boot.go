package uml

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// OutDir is where the guest finds [Config.Out], writable.
const OutDir = "/run/out"

// files that the two sides exchange in Out.
const (
	commandFile = "command"
	statusFile  = "status"
)

var (
	// ErrNotInstalled: the host has no user-mode Linux.
	ErrNotInstalled = errors.New("user-mode Linux is not installed: apt-get install user-mode-linux kmod")
	// ErrGuest: the guest died before its command ended.
	ErrGuest = errors.New("the guest kernel died")
)

// Config says what to boot.
type Config struct {
	Boot    string    // path of the umlboot binary, see [Build]
	Out     string    // host directory that the guest sees as OutDir; made if missing
	Command string    // shell command, run as root in the guest
	Memory  string    // of the guest, default "1G"
	Show    string    // host directory that the guest must see even where it has its own /tmp; may be ""
	Console io.Writer // what the command prints, as it prints it; may be nil
}

// Boot runs the command in a fresh guest and returns its exit status. The error
// says why there is none. When ctx ends, so does the guest, with all that runs
// in it.
func Boot(ctx context.Context, c Config) (status int, err error) {
	kernel, err := exec.LookPath("linux.uml")
	if err != nil {
		return 0, fmt.Errorf("uml: boot: %w", ErrNotInstalled)
	}
	out, err := filepath.Abs(c.Out)
	if err != nil {
		return 0, fmt.Errorf("uml: boot: %w", err)
	}
	// The guest's kernel command line is split at white space.
	for _, path := range []string{out, c.Boot, c.Show} {
		if strings.ContainsAny(path, " \t\n,") || path != "" && !filepath.IsAbs(path) {
			return 0, fmt.Errorf("uml: boot: path %q cannot stand on a kernel's command line", path)
		}
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return 0, fmt.Errorf("uml: boot: %w", err)
	}
	if err := os.Remove(filepath.Join(out, statusFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return 0, fmt.Errorf("uml: boot: %w", err)
	}
	if err := os.WriteFile(filepath.Join(out, commandFile), []byte(c.Command), 0o644); err != nil {
		return 0, fmt.Errorf("uml: boot: %w", err)
	}
	memory := c.Memory
	if memory == "" {
		memory = "1G"
	}
	// The guest's memory is a file that must be executable; its sockets go
	// beside it, not into the user's home.
	scratch, err := os.MkdirTemp("", "uml")
	if err != nil {
		return 0, fmt.Errorf("uml: boot: %w", err)
	}
	defer os.RemoveAll(scratch)

	cmd := exec.CommandContext(ctx, c.Boot, kernel,
		"rootfstype=hostfs", "rootflags=/", "ro", "mem="+memory, "init="+c.Boot,
		"con=null", "con0=fd:0,fd:1", "quiet", "uml_dir="+scratch, "OUT="+out, "SHOW="+c.Show, goWithoutAVX)
	cmd.Env = append(os.Environ(), "TMPDIR="+scratch)
	var console bytes.Buffer
	cmd.Stdout = &console
	if c.Console != nil {
		cmd.Stdout = io.MultiWriter(&console, &between{to: c.Console})
	}
	cmd.Stderr = cmd.Stdout
	// Every process of the guest is a process of the host, in this group.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }

	served, stop := context.WithCancel(ctx)
	var server sync.WaitGroup
	server.Go(func() { serve(served, out) })
	runErr := cmd.Run()
	stop()
	server.Wait()
	text, err := os.ReadFile(filepath.Join(out, statusFile))
	if ctx.Err() != nil {
		return 0, fmt.Errorf("uml: boot: %w; the console ended with:\n%s", context.Cause(ctx), tail(console.Bytes()))
	}
	if err != nil {
		return 0, fmt.Errorf("uml: boot: %w (%v); the console ended with:\n%s", ErrGuest, runErr, tail(console.Bytes()))
	}
	status, err = strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("uml: boot: the guest's status %q: %w", text, err)
	}
	return status, nil
}

func tail(b []byte) []byte {
	const most = 4096
	return b[max(0, len(b)-most):]
}

// Build compiles the umlboot binary, statically, into dir and returns its path.
func Build(ctx context.Context, dir string) (string, error) {
	path, err := filepath.Abs(filepath.Join(dir, "umlboot"))
	if err != nil {
		return "", fmt.Errorf("uml: build: %w", err)
	}
	return path, compile(ctx, "", "build", "-o", path, "github.com/vanycast/vanycast/tests/uml/umlboot")
}

// BuildTest compiles the tests of a package of the module in root, statically,
// into dir and returns the binary's path.
func BuildTest(ctx context.Context, dir, root, pkg string) (string, error) {
	name := strings.ReplaceAll(strings.Trim(pkg, "./"), "/", "-") + ".test"
	path, err := filepath.Abs(filepath.Join(dir, name))
	if err != nil {
		return "", fmt.Errorf("uml: build: %w", err)
	}
	return path, compile(ctx, root, "test", "-c", "-o", path, pkg)
}

func compile(ctx context.Context, dir string, args ...string) error {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("uml: go %s: %w: %s", strings.Join(args, " "), err, text)
	}
	return nil
}

package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// stopPatience is how long a process may take to obey SIGTERM.
const stopPatience = 20 * time.Second

// Process is a program that runs on a host until it is stopped. What it writes
// goes to a log file in the laboratory's directory.
type Process struct {
	host    *Host
	name    string
	cmd     *exec.Cmd
	logPath string

	done chan struct{} // closed when waited for

	mu      sync.Mutex
	err     error // of Wait
	stopped bool  // we sent the signal it ended by
}

// StartOption changes how a process is started.
type StartOption func(*start)

type start struct {
	logName string
	leave   bool
	user    *syscall.Credential
	env     []string
	dir     string
}

// LogName names the log file; the default is HOST-PROGRAM.log.
func LogName(name string) StartOption { return func(s *start) { s.logName = name } }

// Leave lets the process outlive the laboratory's maker (see Detach).
func Leave() StartOption { return func(s *start) { s.leave = true } }

// As runs the program as another user and with these groups, through
// setpriv(1), for ip(8) needs root to enter the namespace.
func As(uid, gid uint32, groups ...uint32) StartOption {
	return func(s *start) { s.user = &syscall.Credential{Uid: uid, Gid: gid, Groups: groups} }
}

// Env adds to the environment, as "NAME=value".
func Env(pairs ...string) StartOption { return func(s *start) { s.env = append(s.env, pairs...) } }

// WorkDir is the program's working directory.
func WorkDir(dir string) StartOption { return func(s *start) { s.dir = dir } }

// Start starts a program on the host. It is stopped when the laboratory is
// taken down, if it was not before.
func (h *Host) Start(argv []string, opts ...StartOption) (*Process, error) {
	s := start{logName: fmt.Sprintf("%s-%s.log", h.name, filepath.Base(argv[0]))}
	for _, o := range opts {
		o(&s)
	}
	name := filepath.Base(argv[0])
	if s.user != nil {
		argv = append(setpriv(s.user), argv...)
	}
	logPath := filepath.Join(h.net.dir, s.logName)
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lab: log of %s: %w", argv[0], err)
	}
	defer log.Close() // the child has its own
	cmd := h.Command(context.Background(), argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr, cmd.Dir = log, log, s.dir
	if len(s.env) > 0 {
		cmd.Env = append(os.Environ(), s.env...)
	}
	// A group of its own: an interrupt typed at `make demo` is ours to pass
	// on, in order, not the terminal's to spread.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return h.launch(cmd, name, logPath, s.leave)
}

// launch starts a prepared command and waits for it in the background.
func (h *Host) launch(cmd *exec.Cmd, name, logPath string, leave bool) (*Process, error) {
	if !leave {
		cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	}
	if err := h.net.spawner.start(cmd); err != nil {
		return nil, fmt.Errorf("lab: %s on %s: %w", name, h.name, err)
	}
	p := &Process{host: h, name: name, cmd: cmd, logPath: logPath, done: make(chan struct{})}
	go func() {
		err := cmd.Wait()
		p.mu.Lock()
		p.err = err
		p.mu.Unlock()
		close(p.done)
	}()
	h.net.mu.Lock()
	h.net.processes = append(h.net.processes, p)
	h.net.mu.Unlock()
	return p, nil
}

// setpriv is the command line that drops from root to a user before it becomes
// the program.
func setpriv(c *syscall.Credential) []string {
	argv := []string{"setpriv", "--reuid", strconv.Itoa(int(c.Uid)), "--regid", strconv.Itoa(int(c.Gid))}
	if len(c.Groups) == 0 {
		return append(argv, "--clear-groups", "--inh-caps=-all", "--")
	}
	groups := make([]string, len(c.Groups))
	for i, g := range c.Groups {
		groups[i] = strconv.Itoa(int(g))
	}
	return append(argv, "--groups", strings.Join(groups, ","), "--inh-caps=-all", "--")
}

// Pid is the program's process id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Log is the path of its log file.
func (p *Process) Log() string { return p.logPath }

// Wait waits for the process to end by itself and returns how it did.
func (p *Process) Wait(ctx context.Context) error {
	select {
	case <-p.done:
		return p.result()
	case <-ctx.Done():
		return fmt.Errorf("lab: %s on %s still runs: %w", p.name, p.host.name, context.Cause(ctx))
	}
}

// Signal sends a signal to the process, and to nothing else.
func (p *Process) Signal(sig syscall.Signal) error { return p.cmd.Process.Signal(sig) }

// Stop ends the process by SIGTERM, and by SIGKILL, with an error, if it does
// not obey. The error is also non-nil if the process had ended before in
// disorder, or answered SIGTERM with a failure.
func (p *Process) Stop() error {
	select {
	case <-p.done:
		return p.result()
	default:
	}
	p.mu.Lock()
	p.stopped = true
	p.mu.Unlock()
	_ = p.Signal(syscall.SIGTERM) // it may end by itself just now
	select {
	case <-p.done:
		return p.result()
	case <-time.After(stopPatience):
	}
	if err := p.Kill9(); err != nil {
		return err
	}
	return fmt.Errorf("lab: %s on %s (pid %d) did not end %v after SIGTERM; killed", p.name, p.host.name, p.Pid(), stopPatience)
}

// Kill9 ends the process by SIGKILL, as a crash would, and waits until it is
// gone.
func (p *Process) Kill9() error {
	p.mu.Lock()
	p.stopped = true
	p.mu.Unlock()
	_ = p.Signal(syscall.SIGKILL)
	select {
	case <-p.done:
		return nil
	case <-time.After(stopPatience):
		return fmt.Errorf("lab: %s on %s (pid %d) outlived SIGKILL", p.name, p.host.name, p.Pid())
	}
}

// result is how the process ended; nil for an end by a signal that we sent.
func (p *Process) result() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil {
		return nil
	}
	var exit *exec.ExitError
	if p.stopped && errors.As(p.err, &exit) {
		if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			return nil
		}
	}
	return fmt.Errorf("%s on %s: %w", p.name, p.host.name, p.err)
}

// Tail is the last n lines of the log.
func (p *Process) Tail(n int) string {
	b, err := os.ReadFile(p.logPath)
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return strings.Join(lines, "\n")
}

package lab

import (
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"sync"
)

// TB is what a laboratory needs of its owner. *testing.T and *testing.B are
// one; Run gives one to a program that is not a test.
type TB interface {
	Helper()
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Cleanup(func())
	TempDir() string
	Failed() bool
	Name() string
}

// Run lets a program own a laboratory as a test would: it calls body with a TB
// and runs the clean-ups afterwards, whatever happened. It returns what body
// returned, or the text of Fatalf or Errorf.
func Run(name string, logger *slog.Logger, body func(TB) error) error {
	p := &program{name: name, logger: logger}
	done := make(chan error, 1)
	go func() {
		// Fatalf ends this goroutine by runtime.Goexit; the deferred
		// function still runs, as it does for a panic.
		var err error
		defer func() {
			r := recover()
			p.cleanup()
			if r != nil {
				err = fmt.Errorf("%s: panic: %v", name, r)
			}
			if err == nil {
				err = p.failure()
			}
			done <- err
		}()
		err = body(p)
	}()
	return <-done
}

// program is the TB of a program.
type program struct {
	name   string
	logger *slog.Logger

	mu       sync.Mutex
	err      error
	cleanups []func()
}

func (p *program) Helper()      {}
func (p *program) Name() string { return p.name }

func (p *program) Logf(format string, args ...any) {
	p.logger.Info(fmt.Sprintf(format, args...))
}

func (p *program) Errorf(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil {
		p.err = fmt.Errorf(format, args...)
	}
}

func (p *program) Fatalf(format string, args ...any) {
	p.Errorf(format, args...)
	runtime.Goexit()
}

func (p *program) Failed() bool { return p.failure() != nil }

func (p *program) Cleanup(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cleanups = append(p.cleanups, f)
}

func (p *program) TempDir() string {
	dir, err := os.MkdirTemp("", "vanycast-"+p.name+"-")
	if err != nil {
		p.Fatalf("%s: a directory for the laboratory: %w", p.name, err)
	}
	p.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func (p *program) failure() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// cleanup runs what was registered, last first, until nothing is left.
func (p *program) cleanup() {
	for {
		p.mu.Lock()
		n := len(p.cleanups)
		if n == 0 {
			p.mu.Unlock()
			return
		}
		f := p.cleanups[n-1]
		p.cleanups = p.cleanups[:n-1]
		p.mu.Unlock()
		f()
	}
}

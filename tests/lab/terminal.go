package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Terminal is a program on a host that believes a person sits before it: it
// has a terminal of its own, on which Send types and from which Expect reads.
type Terminal struct {
	process *Process
	master  *os.File
	arrived chan struct{} // something came, or the end

	mu   sync.Mutex
	text string // all that came, without carriage returns
	read int    // how much of it Expect has taken
	end  bool   // nothing more will come
}

// Terminal starts a program on a terminal of its own. What appears there is
// also copied to screen, as it comes.
func (h *Host) Terminal(screen io.Writer, name string, args ...string) (*Terminal, error) {
	master, slave, err := openTerminal()
	if err != nil {
		return nil, fmt.Errorf("lab: a terminal for %s: %w", name, err)
	}
	defer slave.Close() // the child has its own
	cmd := h.Command(context.Background(), name, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.Env = append(os.Environ(), "TERM=dumb")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	p, err := h.launch(cmd, filepath.Base(name), "", false)
	if err != nil {
		return nil, errors.Join(err, master.Close())
	}
	t := &Terminal{process: p, master: master, arrived: make(chan struct{}, 1)}
	go t.receive(screen)
	return t, nil
}

// openTerminal makes a pseudoterminal (pty(7)).
func openTerminal() (master, slave *os.File, err error) {
	master, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			master.Close()
		}
	}()
	raw, err := master.SyscallConn()
	if err != nil {
		return nil, nil, err
	}
	var number uint32
	if e := raw.Control(func(fd uintptr) {
		if err = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); err == nil {
			number, err = unix.IoctlGetUint32(int(fd), unix.TIOCGPTN)
		}
	}); e != nil || err != nil {
		return nil, nil, errors.Join(e, err)
	}
	slave, err = os.OpenFile("/dev/pts/"+strconv.Itoa(int(number)), os.O_RDWR|unix.O_NOCTTY, 0)
	return master, slave, err
}

// receive reads the terminal until the program has closed it (EIO, pty(7)).
func (t *Terminal) receive(screen io.Writer) {
	b := make([]byte, 4096)
	for {
		n, err := t.master.Read(b)
		text := strings.ReplaceAll(string(b[:n]), "\r", "")
		_, _ = io.WriteString(screen, text)
		t.mu.Lock()
		t.text += text
		t.end = err != nil
		t.mu.Unlock()
		select {
		case t.arrived <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

// Send types a line and Return.
func (t *Terminal) Send(line string) error {
	_, err := io.WriteString(t.master, line+"\n")
	return err
}

// Expect waits until the expression matches what appeared since the last
// match, takes it and all before it, and returns it with its groups.
func (t *Terminal) Expect(ctx context.Context, expression *regexp.Regexp) ([]string, error) {
	for {
		t.mu.Lock()
		rest, end := t.text[t.read:], t.end
		if at := expression.FindStringSubmatchIndex(rest); at != nil {
			t.read += at[1]
			t.mu.Unlock()
			return expression.FindStringSubmatch(rest), nil
		}
		t.mu.Unlock()
		if end {
			return nil, fmt.Errorf("lab: the session ended; expected %q, there was %q", expression, rest)
		}
		select {
		case <-t.arrived:
		case <-ctx.Done():
			return nil, fmt.Errorf("lab: expected %q, there was %q: %w", expression, rest, context.Cause(ctx))
		}
	}
}

// Text is all that appeared so far.
func (t *Terminal) Text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text
}

// Wait waits for the program to end by itself.
func (t *Terminal) Wait(ctx context.Context) error { return t.process.Wait(ctx) }

// Close hangs up: the program is ended if it still runs.
func (t *Terminal) Close() error {
	err := t.process.Kill9()
	return errors.Join(err, t.master.Close())
}

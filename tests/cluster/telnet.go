package cluster

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"regexp"
	"strings"
	"time"

	"github.com/vanycast/vanycast/tests/lab"
)

// AnswerTime bounds the wait for any one answer of a server: beyond every
// bound of the daemons.
const AnswerTime = 20 * time.Second

// Telnet is a session of Debian's telnet with the echo server.
type Telnet struct {
	*lab.Terminal
	// Served is the replica that greeted last.
	Served string
}

// DialTelnet runs telnet on a host, to the echo service. What it shows goes to
// screen as well.
func DialTelnet(ctx context.Context, h *lab.Host, screen io.Writer) (*Telnet, error) {
	return DialTelnetTo(ctx, h, Echo().Contact, screen)
}

// DialTelnetTo does it to an echo service elsewhere.
func DialTelnetTo(ctx context.Context, h *lab.Host, to netip.AddrPort, screen io.Writer) (*Telnet, error) {
	term, err := h.Terminal(screen, "telnet", to.Addr().String(), fmt.Sprint(to.Port()))
	if err != nil {
		return nil, err
	}
	t := &Telnet{Terminal: term}
	_, err = t.Answer(ctx, `Connected to `+regexp.QuoteMeta(to.Addr().String()))
	return t, err
}

// Answer waits for what an expression matches, for AnswerTime at most.
func (t *Telnet) Answer(ctx context.Context, expression string) ([]string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, AnswerTime, fmt.Errorf("no such answer within %v", AnswerTime))
	defer cancel()
	return t.Expect(ctx, regexp.MustCompile(expression))
}

// Greeted waits for the greeting of the next worker and notes its replica.
func (t *Telnet) Greeted(ctx context.Context) error {
	m, err := t.Answer(ctx, `Hi, I'm worker \d+ on (\w+) and I will continue echoing your data!\n`)
	if err != nil {
		return err
	}
	t.Served = m[1]
	return nil
}

// Moved waits for a greeting from another replica than the last.
func (t *Telnet) Moved(ctx context.Context) error {
	before := t.Served
	if err := t.Greeted(ctx); err != nil {
		return err
	}
	if t.Served == before {
		return fmt.Errorf("handed from %s to itself", before)
	}
	return nil
}

// Say types a line, waits for a move for every H in it, and for the echo of
// the rest.
func (t *Telnet) Say(ctx context.Context, line string) error {
	if err := t.Send(line); err != nil {
		return err
	}
	for range strings.Count(line, "H") {
		if err := t.Moved(ctx); err != nil {
			return fmt.Errorf("after %q: %w", line, err)
		}
	}
	return t.Echoed(ctx, line)
}

// Echoed waits for the echo of a line.
func (t *Telnet) Echoed(ctx context.Context, line string) error {
	_, err := t.Answer(ctx, `\necho >`+regexp.QuoteMeta(strings.ReplaceAll(line, "H", ""))+`\n`)
	return err
}

// All types a line that begins with !, and compares the answer with all that
// was typed before.
func (t *Telnet) All(ctx context.Context, line, history string) error {
	if err := t.Send(line); err != nil {
		return err
	}
	if _, err := t.Answer(ctx, `\nWritten so far: `+regexp.QuoteMeta(history)+`\n`); err != nil {
		return err
	}
	return t.Echoed(ctx, line)
}

// Ended waits for the server's orderly end of the connection.
func (t *Telnet) Ended(ctx context.Context) error {
	if _, err := t.Answer(ctx, `Connection closed by foreign host`); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, AnswerTime)
	defer cancel()
	// Its exit status does not tell an end from a loss.
	_ = t.Wait(ctx)
	return ctx.Err()
}

// Quit asks the server to end the connection.
func (t *Telnet) Quit(ctx context.Context) error {
	if err := t.Send("Q"); err != nil {
		return err
	}
	return t.Ended(ctx)
}

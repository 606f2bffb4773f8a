package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/vanycast/vanycast/tests/lab"
)

// answerTime bounds the wait for any one answer.
const answerTime = 20 * time.Second

// talk is a telnet session with the echo server.
type talk struct {
	*lab.Terminal
	screen *screen
	served string // the replica that greeted last
}

// telnet connects to the contact address from a host.
func telnet(ctx context.Context, h *lab.Host) (*talk, error) {
	fmt.Printf("\n%s$ telnet %s 4000\n", h.Name(), lab.ContactAddress)
	t := &talk{screen: &screen{out: os.Stdout}}
	var err error
	if t.Terminal, err = h.Terminal(t.screen, "telnet", lab.ContactAddress, "4000"); err != nil {
		return nil, err
	}
	_, err = t.expect(ctx, `Connected to `+regexp.QuoteMeta(lab.ContactAddress))
	return t, err
}

func (t *talk) expect(ctx context.Context, expression string) ([]string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, answerTime, fmt.Errorf("no such answer within %v", answerTime))
	defer cancel()
	return t.Expect(ctx, regexp.MustCompile(expression))
}

// greeted waits for the greeting of the next worker. It must be on another
// replica than the last: the policy is told never to choose itself.
func (t *talk) greeted(ctx context.Context) error {
	m, err := t.expect(ctx, `Hi, I'm worker (\d+) on (\w+) and I will continue echoing your data!\n`)
	if err != nil {
		return err
	}
	if m[2] == t.served {
		return fmt.Errorf("handed from %s to itself", m[2])
	}
	t.served = m[2]
	return nil
}

// say types a line with as many H's as handoffs must follow, and waits for the
// greetings and the echo of the rest.
func (t *talk) say(ctx context.Context, line string) error {
	if err := t.Send(line); err != nil {
		return err
	}
	for range strings.Count(line, "H") {
		if err := t.greeted(ctx); err != nil {
			return fmt.Errorf("after %q: %w", line, err)
		}
	}
	_, err := t.expect(ctx, `\necho >`+regexp.QuoteMeta(strings.ReplaceAll(line, "H", ""))+`\n`)
	return err
}

// all asks for everything so far and compares it.
func (t *talk) all(ctx context.Context, line, history string) error {
	if err := t.Send(line); err != nil {
		return err
	}
	if _, err := t.expect(ctx, `\nWritten so far: `+regexp.QuoteMeta(history)+`\n`); err != nil {
		return err
	}
	_, err := t.expect(ctx, `\necho >`+regexp.QuoteMeta(line)+`\n`)
	return err
}

// quit ends the session from the server's side; telnet must see an orderly
// end.
func (t *talk) quit(ctx context.Context) error {
	if err := t.Send("Q"); err != nil {
		return err
	}
	if _, err := t.expect(ctx, `Connection closed by foreign host`); err != nil {
		return err
	}
	// telnet's exit status says whether it was told to go or lost its
	// connection; here it is always the latter.
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	_ = t.Wait(ctx)
	t.screen.end()
	return ctx.Err()
}

// thesisSession is the thesis's §6.2.2, with two more handoffs at its end.
func thesisSession(ctx context.Context, h *lab.Host) (err error) {
	t, err := telnet(ctx, h)
	if err != nil {
		return err
	}
	defer func() { t.screen.end(); err = errors.Join(err, t.Close()) }()
	if err := t.greeted(ctx); err != nil {
		return err
	}
	history := ""
	for _, line := range []string{
		"Please echo my data",
		"Some more data",
		"!Echo all up to now",
		"I want a Handover",
		"Another Handover please",
		"I want more Handovers directly after each other: HiHaHoHeHuHa and echo this sentence",
		"!Echo all up to now",
		"Happy with two more: H",
		"!And that was all",
	} {
		step := t.say
		if strings.HasPrefix(line, "!") {
			step = func(ctx context.Context, line string) error { return t.all(ctx, line, history) }
		}
		if err := step(ctx, line); err != nil {
			return err
		}
		history += strings.ReplaceAll(line, "H", "") + "/"
	}
	return t.quit(ctx)
}

// legacySession shows a client without Mobile IPv6: served through the
// tunnel, told why it cannot be handed over, served on.
func legacySession(ctx context.Context, h *lab.Host) (err error) {
	t, err := telnet(ctx, h)
	if err != nil {
		return err
	}
	defer func() { t.screen.end(); err = errors.Join(err, t.Close()) }()
	if err := t.greeted(ctx); err != nil {
		return err
	}
	if err := t.say(ctx, "Please echo my data"); err != nil {
		return err
	}
	if err := t.Send("I want a Handover"); err != nil {
		return err
	}
	if _, err := t.expect(ctx, `\nSorry, I could not hand you over[^\n]*Mobile IPv6[^\n]*\n`); err != nil {
		return err
	}
	if _, err := t.expect(ctx, `\necho >I want a andover\n`); err != nil {
		return err
	}
	if err := t.all(ctx, "!Echo all up to now", "Please echo my data/I want a andover/"); err != nil {
		return err
	}
	return t.quit(ctx)
}

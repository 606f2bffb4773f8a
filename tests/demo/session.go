package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"

	"github.com/vanycast/vanycast/tests/cluster"
	"github.com/vanycast/vanycast/tests/lab"
)

// telnet connects to a service from a host and gives the session to body. It
// shows what telnet shows.
func telnet(ctx context.Context, h *lab.Host, to netip.AddrPort, body func(*cluster.Telnet) error) error {
	fmt.Printf("\n%s$ telnet %s %d\n", h.Name(), to.Addr(), to.Port())
	screen := &screen{out: os.Stdout}
	t, err := cluster.DialTelnetTo(ctx, h, to, screen)
	if t == nil {
		return err
	}
	defer screen.end()
	if err == nil {
		err = t.Greeted(ctx)
	}
	if err == nil {
		err = body(t)
	}
	return errors.Join(err, t.Close())
}

// thesisSession is the thesis's §6.2.2, with two more handoffs at its end.
func thesisSession(ctx context.Context, t *cluster.Telnet) error {
	return say(ctx, t,
		"Please echo my data",
		"Some more data",
		"!Echo all up to now",
		"I want a Handover",
		"Another Handover please",
		"I want more Handovers directly after each other: HiHaHoHeHuHa and echo this sentence",
		"!Echo all up to now",
		"Happy with two more: H",
		"!And that was all",
	)
}

// say sends the lines and leaves; what a line with ! is answered with is known.
func say(ctx context.Context, t *cluster.Telnet, lines ...string) error {
	history := ""
	for _, line := range lines {
		step := t.Say
		if strings.HasPrefix(line, "!") {
			step = func(ctx context.Context, line string) error { return t.All(ctx, line, history) }
		}
		if err := step(ctx, line); err != nil {
			return err
		}
		history += strings.ReplaceAll(line, "H", "") + "/"
	}
	return t.Quit(ctx)
}

// legacySession shows that a client without Mobile IPv6 is no worse off.
func legacySession(ctx context.Context, t *cluster.Telnet) error {
	return say(ctx, t,
		"Please echo my data",
		"I want a Handover",
		"Some more: HiHaHo",
		"!Echo all up to now",
		"Happy with two more: HH",
		"!And that was all",
	)
}

// plainSession is for the service that hands over as the thesis did.
func plainSession(ctx context.Context, t *cluster.Telnet) error {
	return say(ctx, t,
		"Please echo my data",
		"I want a Handover",
		"And two more: HiHa",
		"!And that was all",
	)
}

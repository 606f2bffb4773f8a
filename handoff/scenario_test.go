package handoff

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/vanycast/vanycast/internal/scenario"
)

// TestScenarios replays testdata/*.txt, made of the commands
//
//	donor [MODE] [offered]           a new machine, set going; mode basic if none is said
//	acceptor                         the same
//	done [speaks] | failed TEXT | unsent TEXT | dead | taken | cancel | abort | give-up
//	answer VERDICT [MODE] [touched] [REASON] [instance=N]
//	wait                             until the deadline, which then passes
//	wait DURATION                    that long, without anything happening
//
// Each prints the actions, the state and the time to the deadline.
func TestScenarios(t *testing.T) {
	scenario.Run(t, func(*testing.T) func(scenario.Command) string { return new(story).command })
}

// machine is either half.
type machine interface {
	Step(time.Time, Event) []Action
	Deadline() time.Time
}

// story is one scenario: a machine and a clock.
type story struct {
	now   time.Time
	m     machine
	state func() string
}

func (s *story) command(c scenario.Command) string {
	word, rest := c.Name, c.Text()
	if word != "donor" && word != "acceptor" && s.m == nil {
		c.Fatalf("no machine yet")
	}
	var e Event
	switch word {
	case "donor":
		d := newScenarioDonor(c)
		s.now, s.m, s.state = time.Unix(0, 0), d, func() string { return d.state.String() }
		e.Kind = EventStart
	case "acceptor":
		a := NewAcceptor(7 * time.Second)
		s.now, s.m, s.state = time.Unix(0, 0), a, func() string { return a.state.String() }
		e.Kind = EventStart
	case "done":
		e = Event{Kind: EventDone, Speaks: rest == "speaks"}
	case "failed":
		e = Event{Kind: EventFailed, Err: scenarioError(rest)}
	case "unsent":
		e = Event{Kind: EventUnsent, Err: fmt.Errorf("%w: %s", ErrUnreachable, rest)}
	case "dead":
		e = Event{Kind: EventUnsent, Err: fmt.Errorf("%w: connection refused", ErrUnreachable), Dead: true}
	case "taken":
		e.Kind = EventTaken
	case "cancel":
		e = Event{Kind: EventCancel, Err: errors.New("cancelled")}
	case "abort":
		e.Kind = EventAbort
	case "give-up":
		e.Kind = EventGiveUp
	case "answer":
		e = Event{Kind: EventAnswer, Outcome: scenarioOutcome(c)}
	case "wait":
		if rest != "" {
			d, err := time.ParseDuration(rest)
			c.Check(err)
			s.now = s.now.Add(d)
			return s.print(nil)
		}
		if s.m.Deadline().IsZero() {
			c.Fatalf("there is no deadline")
		}
		if d := s.m.Deadline(); d.After(s.now) {
			s.now = d
		}
		e.Kind = EventTick
	default:
		c.Unknown()
	}
	return s.print(s.m.Step(s.now, e))
}

func newScenarioDonor(c scenario.Command) *Donor {
	mode, offered := ModeBasic, false
	for _, word := range c.Words {
		m, ok := ParseMode(word)
		switch {
		case ok:
			mode = m
		case word == "offered":
			offered = true
		default:
			c.Fatalf("no option %q", word)
		}
	}
	d := NewDonor(Timing{}, mode)
	if offered {
		d.Offered(1, mode)
	}
	return d
}

func scenarioError(text string) error {
	for prefix, err := range map[string]error{"no-mobile-ipv6": ErrNoMobileIPv6, "untouched": ErrUntouched, "taken": ErrTaken} {
		if after, ok := strings.CutPrefix(text, prefix); ok {
			return fmt.Errorf("%w:%s", err, after)
		}
	}
	return errors.New(text)
}

func scenarioOutcome(c scenario.Command) (o Outcome) {
	for _, word := range c.Words {
		if n, ok := strings.CutPrefix(word, "instance="); ok {
			fmt.Sscan(n, &o.Instance)
			continue
		}
		if word == "touched" {
			o.Touched = true
			continue
		}
		mode, found := ParseMode(word)
		if found {
			o.Mode = mode
		}
		for v, name := range verdictNames {
			if name == word {
				o.Verdict, found = Verdict(v), true
			}
		}
		for r, name := range reasonNames {
			if strings.ReplaceAll(name, " ", "-") == word {
				o.Reason, found = Reason(r), true
			}
		}
		if !found {
			c.Fatalf("no verdict or reason %q", word)
		}
	}
	return o
}

func (s *story) print(actions []Action) string {
	var out strings.Builder
	for _, a := range actions {
		out.WriteString(a.Kind.String())
		if a.Abort {
			out.WriteString(" and abort")
		}
		if a.Touched {
			out.WriteString(" and hold")
		}
		if a.Kind == ActionEnd {
			if a.Outcome.Verdict != 0 {
				fmt.Fprintf(&out, " %s", a.Outcome.Verdict)
				if a.Outcome.Verdict == VerdictRefused {
					fmt.Fprintf(&out, ": %s", a.Outcome.Reason)
				}
				if a.Outcome.Text != "" {
					fmt.Fprintf(&out, " (%s)", a.Outcome.Text)
				}
				if a.Outcome.Touched {
					out.WriteString(", touched")
				}
			} else if a.Err == nil {
				out.WriteString(" moved")
			} else if errors.Is(a.Err, ErrGone) {
				fmt.Fprintf(&out, " gone: %v", a.Err)
			} else {
				fmt.Fprintf(&out, " kept: %v", a.Err)
			}
		}
		out.WriteString("\n")
	}
	fmt.Fprintf(&out, "[%s", s.state())
	if d := s.m.Deadline(); !d.IsZero() {
		fmt.Fprintf(&out, ", %v left", d.Sub(s.now))
	}
	out.WriteString("]\n")
	return out.String()
}

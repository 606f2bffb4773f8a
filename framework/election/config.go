package election

import (
	"cmp"
	"log/slog"
	"net/netip"
	"time"
)

// Config describes one contact address at one replica.
type Config struct {
	Contact netip.Addr // the contact address
	Self    netip.Addr // this replica's care-of address
	// Candidates may be contact node, best first; Replicas are all. This replica
	// may be among them.
	Candidates, Replicas []netip.Addr
	Timing               Timing
	Logger               *slog.Logger // default: discard
}

// Timing is how patient a replica is. Zero fields have the defaults.
type Timing struct {
	// Beat is the pause between two pings; default 1 s.
	Beat time.Duration
	// Silence is how long nothing is heard of a replica that is dead; default 3 s.
	Silence time.Duration
	// Refusing is how long its host refuses connections before the process counts as
	// dead, and how long a contact node may say that it is none before it is believed:
	// a third of Silence.
	Refusing time.Duration
	// Return is how long a better-ranked candidate has been there before it gets the
	// role back, if it was not lost of late; default 10 s.
	Return time.Duration
}

// Our own numbers.
const (
	defaultBeat    = time.Second
	defaultSilence = 3 * time.Second
	defaultReturn  = 10 * time.Second

	// maxDoublings bounds how often Timing.Return is doubled for a candidate that was
	// lost again and again, lostMemory for how long that is remembered.
	maxDoublings = 3
	lostMemory   = 10 * time.Minute

	// ticks is how often in a Beat the core looks at its clocks.
	ticks = 4
)

func (t Timing) withDefaults() Timing {
	t.Beat = cmp.Or(t.Beat, defaultBeat)
	t.Silence = cmp.Or(t.Silence, defaultSilence)
	t.Refusing = cmp.Or(t.Refusing, t.Silence/3)
	t.Return = cmp.Or(t.Return, defaultReturn)
	return t
}

// Confirm is how often a contact node that misses a candidate asks the home agent
// whether it is the contact node still.
func (t Timing) Confirm() time.Duration { return t.Silence + 2*t.Beat }

// Retry is how long who was told by the home agent that somebody else has registered
// leaves it at that: several confirmations fit in.
func (t Timing) Retry() time.Duration { return 3 * t.Confirm() }

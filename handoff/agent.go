package handoff

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vanycast/vanycast/internal/crew"
	"github.com/vanycast/vanycast/peer"
)

// Agent hands clients off and takes those of others. Its methods are safe for
// concurrent use.
type Agent struct {
	d        Deps
	instance uint64 // of this process, for donors that ask later
	outcomes *outcomes
	prepared *preparations
	records  *ring
	count    counters

	ctx    context.Context // ends when the agent closes
	cancel context.CancelFunc
	wg     sync.WaitGroup
	crew   *crew.Crew
	giveUp chan struct{} // closed when what is under way must end now
	buried chan struct{} // wakes the janitor

	mu        sync.Mutex
	closed    bool
	donating  map[connection]leaving // by what moves
	accepting int
	arrivals  map[connection]chan struct{} // of clients that are served here before they are bound; closed then
	held      map[connection]*held
}

// leaving is a connection that is being handed off from here.
type leaving struct {
	contact, client netip.AddrPort
	ended           chan struct{} // closed when this host has done with it
}

// held is a client that this replica gave up but whose packets may come.
type held struct {
	binder Binder
	until  time.Time
}

// keptGoroutines is how many wait for the next handoff.
const keptGoroutines = 64

// New makes an agent and answers the peers' handoffs from now on.
func New(d Deps) *Agent {
	d = d.withDefaults()
	var b [8]byte
	rand.Read(b[:])
	g := &Agent{
		d: d, instance: binary.BigEndian.Uint64(b[:]), outcomes: newOutcomes(d.MaxOutcomes), records: newRing(d.Records),
		prepared: newPreparations(d.MaxHandoffs),
		crew:     crew.New(keptGoroutines),
		giveUp:   make(chan struct{}), buried: make(chan struct{}, 1),
		donating: make(map[connection]leaving), arrivals: make(map[connection]chan struct{}), held: make(map[connection]*held),
	}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	d.Peers.Handle(peer.KindOffer, g.serveOffer)
	d.Peers.Handle(peer.KindHandoff, g.serveHandoff)
	d.Peers.Handle(peer.KindOutcome, g.serveOutcome)
	g.wg.Go(g.janitor)
	return g
}

// begin notes that something is under way; the result is false once the agent
// is closed. Each true is followed by wg.Done.
func (g *Agent) begin() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.wg.Add(1)
	return true
}

// closeTimeout is how long Close lets handoffs come to a good end.
const closeTimeout = 3 * time.Second

// Close takes no more handoffs, asks those under way to stop, and after a few
// seconds gives them up: a client whose owner is not known by then is let go, for
// two must not own it. What was buried is closed, what was held is let through.
func (g *Agent) Close() {
	g.mu.Lock()
	first := !g.closed
	g.closed = true
	g.mu.Unlock()
	if first {
		g.cancel()
		timer := time.AfterFunc(closeTimeout, func() { close(g.giveUp) })
		defer timer.Stop()
	}
	g.wg.Wait()
	g.crew.Close()
	if first {
		g.sweep(time.Now().Add(2 * (g.d.Timing.Linger + g.d.Timing.Hold))) // all that is left
	}
}

// Recent is the newest handoffs, oldest first.
func (g *Agent) Recent() []Record { return g.records.list() }

// note keeps and tells a record.
func (g *Agent) note(r Record) {
	g.records.add(r)
	g.count.add(r)
	g.d.Observe(r)
	// One that went well is not worth a line each: there may be thousands in a
	// second, and the records tell of them.
	level := slog.LevelDebug
	if r.Err != "" {
		level = slog.LevelWarn
	}
	if ctx := context.Background(); g.d.Logger.Enabled(ctx, level) {
		attrs := []any{"role", string(r.Role), "client", r.Client, "contact", r.Contact, "from", r.From, "to", r.To, "gap", r.Gap, "bytes", r.Bytes}
		if r.Err != "" {
			attrs = append(attrs, "err", r.Err)
		}
		g.d.Logger.Log(ctx, level, "handoff", attrs...)
	}
}

// counters are totals since the agent was made.
type counters struct {
	donated, failed, gone, accepted, refused, recovered atomic.Uint64
	bytesOut, bytesIn                                   atomic.Uint64
	malformed                                           atomic.Uint64
}

func (c *counters) add(r Record) {
	switch {
	case r.Role == RoleDonor && r.Err == "":
		c.donated.Add(1)
		c.bytesOut.Add(uint64(r.Bytes))
	case r.Role == RoleDonor:
		c.failed.Add(1)
	case r.Err == "":
		c.accepted.Add(1)
		c.bytesIn.Add(uint64(r.Bytes))
	default:
		c.refused.Add(1)
	}
}

// Counters are totals since the agent was made, by name.
func (g *Agent) Counters() map[string]uint64 {
	c := &g.count
	return map[string]uint64{
		"handoffs_donated":   c.donated.Load(),   // clients that left
		"handoffs_failed":    c.failed.Load(),    // handoffs as donor that did not come about
		"handoffs_gone":      c.gone.Load(),      // of these, clients that were let go all the same
		"handoffs_recovered": c.recovered.Load(), // lost acknowledgements whose outcome was found out
		"handoffs_accepted":  c.accepted.Load(),  // clients that came
		"handoffs_refused":   c.refused.Load(),   // clients that were not taken
		"bytes_out":          c.bytesOut.Load(),  // of clients that left
		"bytes_in":           c.bytesIn.Load(),   // of clients that came
		"malformed":          c.malformed.Load(), // messages that could not be read
	}
}

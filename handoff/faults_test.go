package handoff

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// simulation is both machines, the replicas' channel between them and the client,
// with everything that can go wrong at any moment: messages and packets lost or
// late, the channel cut, the acceptor killed and restarted, operations failing,
// deadlines passing, the application losing patience.
type simulation struct {
	t   *rapid.T
	now time.Time

	donor    *Donor
	donating ActionKind // under way at the donor
	live     bool       // the donor's socket is not frozen
	gone     bool       // the donor let it go
	ended    bool
	err      error

	instance  uint64
	acceptor  *Acceptor
	accepting ActionKind
	active    bool                  // the acceptor's socket is live
	known     map[uint64]*Outcome   // what each instance remembers; nil: undecided
	request   bool                  // the request is on its way
	sent      time.Time             // when the request was
	pending   bool                  // the donor's call waits for the acceptor
	cut       bool                  // the channel is cut
	deaf      bool                  // the client cannot be reached
	client    string                // whom the client is bound to
	sequence  int                   // the client's last number
	late      []func(s *simulation) // Binding Updates that may arrive at any time
	crashed   bool
	asked     bool // the donor has begun to ask the client
	tried     bool // with the acceptor's number, and heard no answer
	stuck     bool // the acceptor gave up a client that it had bound, too late to say so
	trying    bool // the acceptor goes on trying to be registered

	// speaks: an acceptor can be heard through the donor. The client is relayed
	// then, and what is said here of its binding is its registration (package
	// relay), which knows whose a number is.
	speaks  bool
	relay   bool // the donor sends on what it sends
	through bool // what the acceptor sends goes that way
	heard   bool // some of it was heard
}

const markSequence = 10

func newSimulation(t *rapid.T) *simulation {
	return &simulation{
		speaks: rapid.Bool().Draw(t, "speaks"),
		t:      t, now: time.Unix(0, 0), donor: NewDonor(Timing{}, ModeSeamless), live: true, instance: 1,
		known: make(map[uint64]*Outcome), client: "donor", sequence: markSequence,
	}
}

// update is a Binding Update that reaches the client.
func (s *simulation) update(from string, sequence int) {
	if sequence > s.sequence {
		s.client, s.sequence = from, sequence
	}
}

func (s *simulation) toDonor(e Event) {
	if e.Kind == EventFailed {
		s.pass(s.now.Add(time.Second)) // failing takes its time
	}
	for _, a := range s.donor.Step(s.now, e) {
		s.donating, s.pending = a.Kind, false
		switch a.Kind {
		case ActionReclaim:
			s.asked = true
			if s.request && s.instance == s.donor.Instance() {
				s.t.Fatal("the client is asked while the acceptor may still get the request")
			}
			s.exclusive()
		case ActionFreeze:
			s.live, s.relay = false, s.speaks
		case ActionThaw:
			s.relay = false
		case ActionSend:
			s.request, s.pending, s.sent = true, true, s.now
		case ActionRelease:
			s.gone, s.relay = true, s.speaks
		case ActionEnd:
			s.ended, s.err, s.donating = true, a.Err, 0
		}
	}
}

// exclusive: a client's binding cache cannot be asked while the acceptor binds, nor
// the other way round: it does not say whose a number is, and the donor takes it for
// its own when it has tried. A relay cache says so; there both may try at once, and
// an acceptor that is late does.
func (s *simulation) exclusive() {
	if s.asked && s.accepting == ActionStart && !s.speaks {
		s.t.Fatal("the client is asked while the acceptor may still bind it")
	}
}

// pass lets time pass. What the acceptor has to do by then it does: its deadline
// ends what is under way in the background, and a request that is too late meets no
// connection. What is not in the background takes as long as it likes: hosts stand
// still.
func (s *simulation) pass(until time.Time) {
	if s.request && !until.Before(s.sent.Add(transit)) {
		s.request = false
	}
	for s.acceptor != nil && !s.acceptor.Deadline().IsZero() && !until.Before(s.acceptor.Deadline()) &&
		(s.accepting == ActionAdmit || s.accepting == ActionStart) {
		if d := s.acceptor.Deadline(); d.After(s.now) {
			s.now = d
		}
		s.toAcceptor(Event{Kind: EventTick})
		if s.acceptor != nil && s.acceptor.Deadline().IsZero() { // stopped: whatever it was ends
			s.toAcceptor(Event{Kind: EventFailed, Err: errors.New("stopped")})
		}
	}
	if until.After(s.now) {
		s.now = until
	}
}

func (s *simulation) toAcceptor(e Event) {
	for _, a := range s.acceptor.Step(s.now, e) {
		if a.Kind != ActionStop {
			s.accepting = a.Kind
		}
		switch a.Kind {
		case ActionStart:
			s.exclusive()
		case ActionDeliver:
			s.active, s.through = true, s.speaks
		case ActionSever:
			s.active = false
		case ActionEnd:
			o := a.Outcome
			o.Instance = s.instance
			// The client was bound to it, and it stood still before it found out that it
			// cannot serve it, until the donor could not wait any longer. That is no
			// better than if its owner had died.
			if by := s.donor.recoverBy; o.Touched && o.Verdict == VerdictRefused && !by.IsZero() && !s.now.Before(by) {
				s.stuck = true
			}
			s.trying = o.Verdict == VerdictAccepted && o.Touched
			s.known[s.instance], s.acceptor, s.accepting = &o, nil, 0
		}
	}
}

// unanswerable: the donor waits for an acknowledgement that cannot come.
func (s *simulation) unanswerable() bool {
	return s.donating == ActionSend && !s.request && s.acceptor == nil && s.known[s.instance] == nil
}

// choice is something that can happen now.
type choice struct {
	name string
	do   func()
}

func (s *simulation) choices(faults bool) (all []choice) {
	add := func(name string, f func()) { all = append(all, choice{name, f}) }
	donor := func(name string, e Event) { add("donor "+name, func() { s.toDonor(e) }) }
	broken := errors.New("broken")
	if d := s.donor.Deadline(); !d.IsZero() && (faults || s.donating == ActionWait || s.unanswerable()) {
		add("donor tick", func() {
			s.pass(d)
			s.toDonor(Event{Kind: EventTick})
		})
	}
	switch s.donating {
	case ActionOffer:
		if !s.cut {
			donor("offered", Event{Kind: EventAnswer, Outcome: Outcome{Verdict: VerdictAccepted, Instance: s.instance}})
		}
		if faults || s.cut {
			donor("offer unsent", Event{Kind: EventUnsent, Err: ErrUnreachable})
		}
	case ActionFreeze, ActionExtract, ActionRelease:
		donor("done", Event{Kind: EventDone, Speaks: s.speaks && s.donating == ActionFreeze})
		if faults && s.donating == ActionFreeze {
			add("freeze failed", func() { s.live = true; s.toDonor(Event{Kind: EventFailed, Err: broken}) })
		} else if faults && s.donating == ActionExtract {
			donor("extract failed", Event{Kind: EventFailed, Err: broken})
		}
	case ActionHalt:
		add("halted", func() {
			if s.heard {
				s.toDonor(Event{Kind: EventTaken, Err: errHeard})
				return
			}
			s.relay = false
			s.toDonor(Event{Kind: EventDone})
		})
		if faults {
			donor("halt failed", Event{Kind: EventFailed, Err: broken})
		}
	case ActionThaw:
		add("thawed", func() { s.live = true; s.toDonor(Event{Kind: EventDone}) })
	case ActionSend:
		if faults || s.cut {
			add("answer lost", func() { s.toDonor(Event{Kind: EventFailed, Err: broken}) })
		}
		if o := s.known[s.instance]; s.pending && !s.cut && o != nil {
			donor("answered", Event{Kind: EventAnswer, Outcome: *o})
		}
		if faults && s.request { // it never left
			add("unsent", func() { s.request = false; s.toDonor(Event{Kind: EventUnsent, Err: ErrUnreachable}) })
		}
	case ActionAsk:
		s.ask(add, donor, faults)
	case ActionReclaim:
		if s.deaf || faults {
			add("reclaim unsent", func() { s.toDonor(Event{Kind: EventFailed, Err: broken}) })
		}
		if s.deaf {
			break
		}
		add("reclaimed", func() {
			s.update("donor", markSequence+1)
			if !s.speaks && s.tried && s.sequence == markSequence+1 {
				s.update("donor", s.sequence+1) // it takes that for its own try, and confirms it
			}
			if s.client == "donor" {
				s.toDonor(Event{Kind: EventDone})
			} else {
				s.toDonor(Event{Kind: EventTaken})
			}
		})
		if faults {
			// It is asked what it has first, and the number used only if that is the
			// donor's.
			for _, arrives := range []bool{true, false} {
				add("reclaim unheard", func() {
					s.tried = s.tried || s.client == "donor"
					if arrives {
						s.update("donor", markSequence+1)
					}
					s.toDonor(Event{Kind: EventFailed, Err: broken})
				})
			}
		}
	case ActionBind:
		if !s.deaf {
			add("bound", func() { s.update("donor", s.sequence+1); s.toDonor(Event{Kind: EventDone}) })
		}
		if s.deaf || faults {
			donor("bind failed", Event{Kind: EventFailed, Err: broken})
		}
	}
	if faults && !s.ended {
		donor("cancel", Event{Kind: EventCancel, Err: errors.New("cancelled")})
		add("cut", func() { s.cut = !s.cut })
		add("deaf", func() { s.deaf = !s.deaf })
	}
	if s.active && s.through && s.relay && !s.heard {
		add("acceptor heard", func() { s.heard = true })
	}
	if s.request { // late as it may be, on a connection that was not lost
		add("request arrives", s.arrive)
		if faults {
			add("request lost", func() { s.request = false })
		}
	}
	s.acceptorChoices(add, faults)
	for i, f := range s.late {
		add("late update", func() { s.late = append(s.late[:i:i], s.late[i+1:]...); f(s) })
	}
	return all
}

// ask: what the acceptor answers to a question, as serveOutcome does.
func (s *simulation) ask(add func(string, func()), donor func(string, Event), faults bool) {
	if s.cut || faults {
		donor("ask failed", Event{Kind: EventFailed, Err: errors.New("broken")})
	}
	if s.cut {
		return
	}
	if faults && s.instance != s.donor.Instance() { // between its two processes
		donor("ask refused", Event{Kind: EventUnsent, Err: ErrUnreachable, Dead: true})
	}
	add("ask answered", func() {
		o, ok := s.known[s.instance]
		switch {
		case !ok:
			o = &Outcome{Verdict: VerdictUnknown, Instance: s.instance}
			s.known[s.instance] = o
		case o == nil:
			if s.donor.abort {
				s.toAcceptor(Event{Kind: EventAbort})
			}
			if o = s.known[s.instance]; o == nil {
				o = &Outcome{Verdict: VerdictPending, Instance: s.instance}
			}
		}
		s.toDonor(Event{Kind: EventAnswer, Outcome: *o})
	})
}

// arrive: the request reaches the acceptor, as serveHandoff has it.
func (s *simulation) arrive() {
	s.request = false
	if _, seen := s.known[s.instance]; seen {
		return
	}
	if s.instance != s.donor.Instance() { // not the process that was offered the client
		s.known[s.instance] = &Outcome{Verdict: VerdictUnknown, Instance: s.instance}
		return
	}
	s.known[s.instance] = nil
	s.acceptor = NewAcceptor(7 * time.Second)
	s.toAcceptor(Event{Kind: EventStart})
}

func (s *simulation) acceptorChoices(add func(string, func()), faults bool) {
	broken := errors.New("broken")
	if faults && !s.crashed {
		// Its application, if it has the client, may survive or not.
		for _, survives := range []bool{false, true} {
			add("acceptor restarted", func() {
				s.crashed = true
				s.instance++
				s.acceptor, s.accepting, s.active, s.trying = nil, 0, s.active && survives, false
			})
		}
	}
	if s.trying && !s.deaf {
		add("acceptor tries on", func() {
			s.update("acceptor", markSequence+1)
			s.trying, s.through = false, s.client != "acceptor" // refused, it is silent
		})
	}
	if s.acceptor == nil {
		return
	}
	if d := s.acceptor.Deadline(); !d.IsZero() && faults {
		add("acceptor tick", func() { s.pass(d) })
	}
	switch s.accepting {
	case ActionStart:
		if s.deaf || faults {
			add("bind untouched", func() { s.toAcceptor(Event{Kind: EventFailed, Err: ErrUntouched}) })
		}
		if s.deaf {
			break
		}
		add("bind", func() { s.bind(markSequence + 1) })
		if faults {
			numbers := []int{markSequence + 1}
			if !s.speaks { // a client is told again with a greater number (RFC 6275 §11.8)
				numbers = append(numbers, markSequence+2)
				add("bind again", func() { s.bind(markSequence + 2) })
			}
			for _, n := range numbers {
				add("bind unheard", func() { s.update("acceptor", n); s.toAcceptor(Event{Kind: EventFailed, Err: broken}) })
				add("bind late", func() {
					s.late = append(s.late, func(s *simulation) { s.update("acceptor", n) })
					s.toAcceptor(Event{Kind: EventFailed, Err: broken})
				})
			}
		}
	default:
		add("acceptor done", func() {
			s.toAcceptor(Event{Kind: EventDone, Speaks: s.speaks && s.accepting == ActionInsert})
		})
		if faults && s.accepting != ActionDeliver {
			add("acceptor failed", func() { s.toAcceptor(Event{Kind: EventFailed, Err: broken}) })
		}
	}
}

// bind is an update of the acceptor that is answered.
func (s *simulation) bind(number int) {
	s.update("acceptor", number)
	if s.client == "acceptor" {
		s.through = false
		s.toAcceptor(Event{Kind: EventDone})
	} else {
		s.toAcceptor(Event{Kind: EventFailed, Err: ErrTaken})
	}
}

// audible: the acceptor is live, and the client hears what it sends.
func (s *simulation) audible() bool { return s.active && (!s.through || s.relay) }

// check holds at every moment.
func (s *simulation) check() {
	if s.live && s.audible() {
		s.t.Fatal("two owners")
	}
	if s.live && s.heard {
		s.t.Fatal("the client has heard more than its owner knows")
	}
	if s.live && s.gone {
		s.t.Fatal("let go and live")
	}
}

// TestFaults: whatever goes wrong, and whenever, there are never two owners; the
// donor's verdict is true; and nobody owns the client only if its owner died (or failed,
// and stood still until nobody asked any more) or the donor could ask nobody until the end.
func TestFaults(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newSimulation(t)
		s.toDonor(Event{Kind: EventStart})
		step := func(faults bool) bool {
			// One step in four may be a fault: more of them only end the handoff
			// before anything interesting comes.
			all := s.choices(faults && rapid.IntRange(0, 3).Draw(t, "fault") == 0)
			if len(all) == 0 {
				return false
			}
			names := make([]string, len(all))
			for i, c := range all {
				names[i] = c.name
			}
			i := rapid.IntRange(0, len(all)-1).Draw(t, "choice")
			t.Log(names[i])
			all[i].do()
			s.check()
			return true
		}
		for range rapid.IntRange(0, 80).Draw(t, "faulty steps") {
			step(true)
		}
		// From here on everything works, if it is not over yet.
		s.cut, s.deaf = false, false
		healed := !s.ended && !s.gone
		for range 1000 {
			if !step(false) {
				break
			}
		}
		switch {
		case !s.ended || s.acceptor != nil:
			t.Fatalf("no end: donor %v (%v), acceptor %v", s.donor.state, s.donating, s.acceptor)
		case s.err == nil && !s.active && !s.crashed:
			t.Fatal("said to be moved, but the acceptor does not have it")
		case s.err == nil && s.live:
			t.Fatal("said to be moved, but it is here")
		case s.err != nil && !errors.Is(s.err, ErrGone) && (!s.live || s.audible()):
			t.Fatalf("said to be kept, but live %v, at the acceptor %v", s.live, s.active)
		case errors.Is(s.err, ErrGone) && s.live:
			t.Fatal("said to be gone, but it is live")
		case healed && !s.crashed && !s.stuck && !s.live && !s.audible():
			t.Fatalf("nobody owns the client: %v", s.err)
		}
	})
}

package bindings

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vanycast/vanycast/mipv6"
)

var target = Target{Home: contact, Peer: client}

// sent is a transmission, as the tests compare it.
type sent struct {
	At  time.Duration
	Seq uint16
}

// run polls until the list waits for nothing, or past until.
func run(t *testing.T, l *UpdateList, until time.Duration) (out []sent, others []ActionKind) {
	t.Helper()
	for range 1000 {
		next, ok := l.Next()
		if !ok || next.Sub(start) > until {
			return out, others
		}
		for _, a := range l.Poll(next) {
			if a.Kind == Transmit {
				out = append(out, sent{next.Sub(start), a.Sequence})
			} else {
				others = append(others, a.Kind)
			}
		}
	}
	t.Fatal("it never ends")
	return nil, nil
}

func ms(n int) time.Duration { return time.Duration(n) * time.Millisecond }

func mustBegin(t *testing.T, l *UpdateList, d time.Duration, p Params) {
	t.Helper()
	p.CareOf = glass
	if err := l.Begin(at(d), target, p); err != nil {
		t.Fatal(err)
	}
}

func ack(status mipv6.Status, seq uint16, lifetime int) *mipv6.BindingAcknowledgement {
	return &mipv6.BindingAcknowledgement{Status: status, Sequence: seq, Lifetime: seconds(lifetime)}
}

// RFC 6275 §11.8.
func TestUpdateRetransmission(t *testing.T) {
	nine := uint16(9)
	for _, tc := range []struct {
		name string
		p    Params
		want []sent
	}{
		{"doubling, with greater numbers", Params{Lifetime: seconds(420), Tries: 4},
			[]sent{{0, 1}, {ms(1000), 2}, {ms(3000), 3}, {ms(7000), 4}}},
		{"first registration", Params{Lifetime: seconds(420), Tries: 3, FirstTimeout: mipv6.InitialBindackTimeoutFirstReg},
			[]sent{{0, 1}, {ms(1500), 2}, {ms(4500), 3}}},
		{"up to MAX_BINDACK_TIMEOUT", Params{Lifetime: seconds(420), Tries: 8},
			[]sent{{0, 1}, {ms(1000), 2}, {ms(3000), 3}, {ms(7000), 4}, {ms(15000), 5}, {ms(31000), 6}, {ms(63000), 7}, {ms(95000), 8}}},
		{"with the same number", Params{Lifetime: seconds(420), Tries: 3, Sequence: &nine, SameSequence: true},
			[]sent{{0, 9}, {ms(1000), 9}, {ms(3000), 9}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := NewUpdateList(0)
			mustBegin(t, l, 0, tc.p)
			got, others := run(t, l, time.Hour)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if diff := cmp.Diff([]ActionKind{GaveUp}, others); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			u, _ := l.Get(target)
			if u.Outstanding || u.State != Idle || u.Sequence != tc.want[len(tc.want)-1].Seq {
				t.Errorf("afterwards %+v", u)
			}
		})
	}
}

// MAX_UPDATE_RATE: three within a second, whatever the home address (§11.8).
func TestUpdateRate(t *testing.T) {
	l := NewUpdateList(0)
	for i := range 5 {
		tt := Target{Home: stranger(1, i).Home, Peer: client}
		if err := l.Begin(at(ms(100*i)), tt, Params{Lifetime: seconds(420), CareOf: glass, Tries: 1}); err != nil {
			t.Fatal(err)
		}
	}
	var times []time.Duration
	for {
		next, ok := l.Next()
		if !ok {
			break
		}
		for _, a := range l.Poll(next) {
			if a.Kind == Transmit {
				times = append(times, next.Sub(start))
			}
		}
	}
	want := []time.Duration{0, ms(100), ms(200), ms(1000), ms(1100)}
	if diff := cmp.Diff(want, times); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestUpdateAccepted(t *testing.T) {
	l := NewUpdateList(0)
	mustBegin(t, l, 0, Params{Lifetime: seconds(420)})
	run(t, l, ms(1000)) // numbers 1 and 2 left, at 0 and 1 s
	if o := l.Acknowledge(at(ms(1100)), target, ack(mipv6.StatusAccepted, 3, 420)); o.Kind != Ignored {
		t.Errorf("a number never sent: %v", o.Kind)
	}
	o := l.Acknowledge(at(ms(1100)), target, ack(mipv6.StatusAccepted, 1, 400))
	if o.Kind != Accepted || o.Lifetime != seconds(400) {
		t.Errorf("outcome %+v", o)
	}
	if o := l.Acknowledge(at(ms(1200)), target, ack(mipv6.StatusAccepted, 2, 400)); o.Kind != Ignored {
		t.Errorf("an acknowledgement too many: %v", o.Kind)
	}
	u, _ := l.Get(target)
	want := Update{Target: target, CareOf: glass, State: Bound, Sequence: 2, Lifetime: seconds(400),
		Expires: at(seconds(400)), Refresh: at(seconds(340))}
	if diff := cmp.Diff(want, u, compareAddr); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	_, others := run(t, l, time.Hour)
	if diff := cmp.Diff([]ActionKind{RefreshDue, Lapsed}, others); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if u, _ := l.Get(target); u.State != Idle || u.Sequence != 2 {
		t.Errorf("after its end %+v", u)
	}
}

func TestUpdateOutOfWindow(t *testing.T) {
	const window = mipv6.StatusSequenceOutOfWindow
	first := uint16(100)
	for _, tc := range []struct {
		name  string
		p     Params
		until time.Duration // transmissions until then
		last  uint16
		want  OutcomeKind
		next  uint16 // the number of the next transmission, if any
	}{
		{"resync takes the number told", Params{Resyncs: 1}, 0, 500, Resynced, 501},
		{"a resync across the wrap", Params{Resyncs: 1}, 0, 32868, Resynced, 32869},
		{"without resync it is over", Params{}, 0, 500, Refused, 0},
		{"the first number was another's", Params{}, ms(1000), 100, Refused, 0},
		{"a later number is our own", Params{}, ms(1000), 101, Ignored, 102},
		{"an answer to something older", Params{Resyncs: 1}, 0, 99, Ignored, 101},
		{"a question asked with one number", Params{SameSequence: true, Resyncs: 3}, ms(1000), 100, Refused, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := NewUpdateList(0)
			p := tc.p
			p.Lifetime, p.Sequence = seconds(420), &first
			mustBegin(t, l, 0, p)
			run(t, l, tc.until)
			o := l.Acknowledge(at(tc.until+1), target, ack(window, tc.last, 0))
			if o.Kind != tc.want {
				t.Fatalf("outcome %+v", o)
			}
			if tc.want == Refused && o.Last != tc.last {
				t.Errorf("last number %d", o.Last)
			}
			got, _ := run(t, l, tc.until+seconds(3))
			switch {
			case tc.next == 0 && len(got) != 0:
				t.Errorf("went on with %v", got)
			case tc.next != 0 && (len(got) == 0 || got[0].Seq != tc.next):
				t.Errorf("went on with %v, want %d", got, tc.next)
			}
		})
	}
}

func TestUpdateResyncsAreBounded(t *testing.T) {
	l := NewUpdateList(0)
	mustBegin(t, l, 0, Params{Lifetime: seconds(420), Resyncs: 2})
	now := time.Duration(0)
	for i := range 3 {
		now += seconds(1)
		run(t, l, now)
		o := l.Acknowledge(at(now), target, ack(mipv6.StatusSequenceOutOfWindow, uint16(1000*(i+1)), 0))
		want := Resynced
		if i == 2 {
			want = Refused
		}
		if o.Kind != want {
			t.Fatalf("answer %d: %v", i, o.Kind)
		}
	}
	if u, _ := l.Get(target); u.Sequence != 3000 {
		t.Errorf("number %d is remembered", u.Sequence)
	}
}

func TestUpdateDeletionAndRefusal(t *testing.T) {
	l := NewUpdateList(0)
	mustBegin(t, l, 0, Params{Lifetime: seconds(420)})
	run(t, l, 0)
	l.Acknowledge(at(ms(5)), target, ack(mipv6.StatusAccepted, 1, 420))
	mustBegin(t, l, seconds(5), Params{})
	run(t, l, seconds(5))
	if o := l.Acknowledge(at(seconds(5)), target, ack(mipv6.StatusAccepted, 2, 0)); o.Kind != Accepted || !o.Deleted {
		t.Errorf("deletion: %+v", o)
	}
	if u, _ := l.Get(target); u.State != Idle {
		t.Errorf("state %v", u.State)
	}
	mustBegin(t, l, seconds(6), Params{Lifetime: seconds(420)})
	run(t, l, seconds(6))
	o := l.Acknowledge(at(seconds(6)), target, ack(mipv6.StatusInsufficientResources, 3, 0))
	if o.Kind != Refused || o.Status != mipv6.StatusInsufficientResources {
		t.Errorf("refusal: %+v", o)
	}
	mustBegin(t, l, seconds(7), Params{Lifetime: seconds(420)})
	run(t, l, seconds(7))
	if o := l.Acknowledge(at(seconds(7)), target, ack(mipv6.StatusAccepted, 4, 0)); o.Kind != Refused {
		t.Errorf("accepted for no time at all: %+v", o)
	}
}

func TestUpdateRefreshAdviceAndSuspend(t *testing.T) {
	l := NewUpdateList(0)
	mustBegin(t, l, 0, Params{Lifetime: seconds(600), HomeRegistration: true})
	run(t, l, 0)
	m := ack(mipv6.StatusAccepted, 1, 600)
	m.Options = []mipv6.Option{&mipv6.RefreshAdvice{Interval: seconds(100)}}
	l.Acknowledge(start, target, m)
	if u, _ := l.Get(target); u.Refresh != at(seconds(100)) {
		t.Errorf("refresh at %v despite the advice (§6.2.4)", u.Refresh.Sub(start))
	}
	l.Suspend(target, at(seconds(130)))
	if next, _ := l.Next(); next != at(seconds(130)) {
		t.Errorf("suspended, but due at %v", next.Sub(start))
	}
	if a := l.Poll(at(seconds(130))); len(a) != 1 || a[0].Kind != RefreshDue || !a[0].HomeRegistration {
		t.Errorf("actions %v", a)
	}
	l.Postpone(target, at(seconds(140)))
	if a := l.Poll(at(seconds(140))); len(a) != 1 || a[0].Kind != RefreshDue {
		t.Errorf("postponed, but %v", a)
	}
}

func TestUpdateListBounds(t *testing.T) {
	l := NewUpdateList(2)
	for i := range 3 {
		tt := Target{Home: contact, Peer: stranger(1, i).Home}
		err := l.Learn(tt, 5)
		if full := errors.Is(err, ErrListFull); full != (i == 2) {
			t.Errorf("entry %d: %v", i, err)
		}
	}
	l.Forget(Target{Home: contact, Peer: stranger(1, 0).Home})
	if err := l.Begin(start, target, Params{Lifetime: seconds(4)}); err != nil {
		t.Error(err)
	}
	if err := l.Begin(start, target, Params{Lifetime: -1}); err == nil {
		t.Error("a negative lifetime passes")
	}
	if len(l.All()) != 2 {
		t.Errorf("%v", l.All())
	}
	l.Abort(target)
	if a := l.Poll(at(seconds(1))); len(a) != 0 {
		t.Errorf("aborted, but %v", a)
	}
}

func TestLearnNeverGoesBack(t *testing.T) {
	l := NewUpdateList(0)
	for _, tc := range []struct{ learn, want uint16 }{{65530, 65530}, {65520, 65530}, {4, 4}, {65535, 4}} {
		if err := l.Learn(target, tc.learn); err != nil {
			t.Fatal(err)
		}
		if u, _ := l.Get(target); u.Sequence != tc.want {
			t.Errorf("learned %d, have %d, want %d", tc.learn, u.Sequence, tc.want)
		}
	}
}

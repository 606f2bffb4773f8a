package rr

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vanycast/vanycast/mipv6"
)

func begin(t *testing.T, cfg InitiatorConfig) (*Initiator, []Send) {
	t.Helper()
	cfg.Home, cfg.CareOf, cfg.Correspondent = contact, careOf, client
	cfg.Rand = seeded()
	i := NewInitiator(cfg)
	out, err := i.Start(start)
	if err != nil {
		t.Fatal(err)
	}
	return i, out
}

func poll(t *testing.T, i *Initiator, d time.Duration) []Send {
	t.Helper()
	out, err := i.Poll(at(d))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func types(sends []Send) []mipv6.Type {
	var out []mipv6.Type
	for _, s := range sends {
		out = append(out, s.Message.Type())
	}
	return out
}

func TestInitiatorAgainstResponder(t *testing.T) {
	r := newResponder(t, ResponderConfig{})
	i, out := begin(t, InitiatorConfig{})
	for _, s := range out {
		switch m := s.Message.(type) {
		case *mipv6.HomeTestInit:
			if s.Src != contact || s.Dst != client {
				t.Errorf("Home Test Init from %v to %v (§11.6.1)", s.Src, s.Dst)
			}
			a, err := r.HomeTest(start, s.Src, m)
			if err != nil || !i.HomeTest(at(time.Second), a) {
				t.Errorf("home test: %v", err)
			}
			if i.HomeTest(at(time.Second), a) {
				t.Error("the same answer was taken twice")
			}
		case *mipv6.CareOfTestInit:
			if s.Src != careOf || s.Dst != client {
				t.Errorf("Care-of Test Init from %v to %v (§11.6.1)", s.Src, s.Dst)
			}
			a, err := r.CareOfTest(start, s.Src, m)
			if err != nil || !i.CareOfTest(at(time.Second), a) {
				t.Errorf("care-of test: %v", err)
			}
		}
	}
	if !i.Done() || len(out) != 2 {
		t.Fatalf("not done after %v", types(out))
	}
	bu := &mipv6.BindingUpdate{Lifetime: 4 * time.Second, Options: []mipv6.Option{i.Keys().NonceIndices()}}
	if _, err := r.Verify(at(2*time.Second), update(t, bu, i.Keys().Kbm(), careOf)); err != nil {
		t.Error(err)
	}
	if _, ok := i.Next(); ok {
		t.Error("a finished run still waits")
	}
}

// RFC 6275 §11.8: the wait doubles from 1 s; each retransmission has a new
// cookie; and there is an end.
func TestInitiatorRetransmission(t *testing.T) {
	i, out := begin(t, InitiatorConfig{Tries: 3})
	cookies := make(map[mipv6.Cookie]bool)
	var when []time.Duration
	for {
		for _, s := range out {
			switch m := s.Message.(type) {
			case *mipv6.HomeTestInit:
				cookies[m.Cookie] = true
			case *mipv6.CareOfTestInit:
				cookies[m.Cookie] = true
			}
		}
		next, ok := i.Next()
		if !ok {
			break
		}
		if early := poll(t, i, next.Sub(start)-1); len(early) != 0 {
			t.Fatal("sent before its time")
		}
		when = append(when, next.Sub(start))
		out = poll(t, i, next.Sub(start))
	}
	want := []time.Duration{1 * time.Second, 3 * time.Second, 7 * time.Second}
	if diff := cmp.Diff(want, when); diff != "" {
		t.Errorf("times (-want +got):\n%s", diff)
	}
	if len(cookies) != 6 {
		t.Errorf("%d different cookies in 6 messages", len(cookies))
	}
	var timeout *TimeoutError
	if !errors.As(i.Err(), &timeout) || timeout.Missing != NeedBoth || timeout.Tries != 3 {
		t.Errorf("end: %v", i.Err())
	}
	if i.HomeTest(at(8*time.Second), &mipv6.HomeTest{}) {
		t.Error("an answer was taken after the end")
	}
}

func TestInitiatorTakesLateAnswer(t *testing.T) {
	i, out := begin(t, InitiatorConfig{Need: NeedHome})
	first := out[0].Message.(*mipv6.HomeTestInit).Cookie
	if got := types(poll(t, i, time.Second)); len(got) != 1 || got[0] != mipv6.TypeHomeTestInit {
		t.Fatalf("retransmitted %v", got)
	}
	if i.HomeTest(at(1100*time.Millisecond), &mipv6.HomeTest{Cookie: mipv6.Cookie{9}}) {
		t.Error("a foreign cookie was taken")
	}
	if !i.HomeTest(at(1100*time.Millisecond), &mipv6.HomeTest{Cookie: first}) || !i.Done() {
		t.Error("the answer to the first try was not taken")
	}
}

func TestInitiatorWithToken(t *testing.T) {
	fresh := HomeToken{Token: mipv6.KeygenToken{5}, NonceIndex: 3, Received: at(-time.Minute)}
	i, out := begin(t, InitiatorConfig{HomeToken: &fresh})
	if diff := cmp.Diff([]mipv6.Type{mipv6.TypeCareOfTestInit}, types(out)); diff != "" {
		t.Errorf("with a fresh token (§5.2.7) (-want +got):\n%s", diff)
	}
	i.CareOfTest(start, &mipv6.CareOfTest{Cookie: out[0].Message.(*mipv6.CareOfTestInit).Cookie})
	if !i.Done() || i.Keys().Home != fresh {
		t.Error("the fresh token is not used")
	}

	stale := HomeToken{Token: mipv6.KeygenToken{5}, Received: at(-mipv6.MaxTokenLifetime + TokenMargin)}
	_, out = begin(t, InitiatorConfig{HomeToken: &stale})
	if len(out) != 2 {
		t.Errorf("with a stale token: %v", types(out))
	}

	i, out = begin(t, InitiatorConfig{HomeToken: &stale, Relayed: true})
	if len(out) != 1 || i.Missing() != NeedBoth {
		t.Errorf("relayed, stale token: sent %v, missing %v", types(out), i.Missing())
	}
	i.SetHomeToken(fresh)
	if i.Missing() != NeedCareOf {
		t.Errorf("missing %v", i.Missing())
	}
}

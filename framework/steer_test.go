package framework

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

func TestStandingEncoding(t *testing.T) {
	question := []byte("\x01\x00\x12\x34echo")
	if got := marshalQuestion("echo", 0x1234); !bytes.Equal(got, question) {
		t.Errorf("question % x", got)
	}
	if name, seen, err := parseQuestion(question); name != "echo" || seen != 0x1234 || err != nil {
		t.Error(name, seen, err)
	}
	answer := []byte{1, 0x09, 0, 7}
	if got := marshalStanding(standsListening|standsSteered, 7); !bytes.Equal(got, answer) {
		t.Errorf("answer % x", got)
	}
	if f, n, err := parseStanding(answer); !f.ready() || n != 7 || err != nil {
		t.Error(f, n, err)
	}
	for _, b := range [][]byte{nil, {1, 0, 0}, {2, 0, 0, 0}, {1, 1, 0, 0}, append(make([]byte, 4), bytes.Repeat([]byte{'x'}, 256)...)} {
		if _, _, err := parseQuestion(b); !errors.Is(err, errStanding) {
			t.Errorf("question % x: %v", b, err)
		}
	}
	for _, b := range [][]byte{nil, {1, 0, 0}, {2, 0, 0, 0}, {1, 16, 0, 0}, {1, 0, 0, 0, 0}} {
		if _, _, err := parseStanding(b); !errors.Is(err, errStanding) {
			t.Errorf("answer % x: %v", b, err)
		}
	}
}

func FuzzStanding(f *testing.F) {
	f.Add([]byte{1, 9, 0, 7})
	f.Add([]byte("\x01\x00\x12\x34echo"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, n, err := parseStanding(b); err == nil && !bytes.Equal(marshalStanding(s, n), b) {
			t.Errorf("answer % x", b)
		}
		if s, n, err := parseQuestion(b); err == nil && !bytes.Equal(marshalQuestion(s, n), b) {
			t.Errorf("question % x", b)
		}
	})
}

// A question is answered when something changes, or after a while.
func TestStandingQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Service{standing: newBoard(), ended: make(chan struct{})}
		ask := func(seen uint16) (standing, uint16) {
			b, err := s.HandleStanding(t.Context(), netip.Addr{}, marshalQuestion("echo", seen))
			if err != nil {
				t.Fatal(err)
			}
			f, n, err := parseStanding(b)
			if err != nil {
				t.Fatal(err)
			}
			return f, n
		}
		begin := time.Now()
		f, n := ask(0)
		if f != 0 || time.Since(begin) != 0 {
			t.Errorf("%v after %v", f, time.Since(begin))
		}
		if f, again := ask(n); f != 0 || again != n || time.Since(begin) != standingWait {
			t.Errorf("%v after %v", f, time.Since(begin))
		}
		go func() {
			time.Sleep(standingWait / 2)
			s.standing.put(standsListening)
		}()
		if f, again := ask(n); f != standsListening || again == n || time.Since(begin) != standingWait*3/2 {
			t.Errorf("%v after %v", f, time.Since(begin))
		}
		close(s.ended)
		if f, _ := ask(n + 1); f&standsDraining == 0 {
			t.Errorf("%v after the end", f)
		}
	})
}

// How many are remembered as decided is bounded, in number and in time.
func TestDecidedBounded(t *testing.T) {
	var d decided
	now := time.Unix(1_000_000, 0)
	client := func(i int) netip.AddrPort { return netip.AddrPortFrom(hosts["alice"], uint16(i)) }
	for i := range 3 * maxDecided {
		d.add(now, client(i+1))
		if i%2 == 0 {
			d.take(now, client(i+1))
		}
	}
	if len(d.until) > maxDecided || len(d.order) > maxDecided {
		t.Errorf("%d, %d", len(d.until), len(d.order))
	}
	if last := client(3 * maxDecided); !d.has(now, last) || d.has(now.Add(decidedFor), last) || d.has(now, client(2)) {
		t.Error("the wrong ones are remembered")
	}
}

// content is a policy that has to see the connection.
type content struct{ random }

func (*content) Early() bool { return false }

// Only a policy that says so is asked at the SYN, whoever set it: the configuration
// or an application.
func TestSteerAsksEarlyPoliciesOnly(t *testing.T) {
	for name, want := range map[string]bool{"random": true, "local": false, "content": false} {
		s, err := New(Config{
			Service: "echo", Contact: netip.MustParseAddrPort("[::1]:0"), Policy: "local", Steer: true,
			Self: hosts["glass"], Replicas: []netip.Addr{hosts["glass"], hosts["reich"]},
		}, Deps{Agent: &fake{}, Address: &fake{}, Policy: func(name string) (Policy, error) {
			if name == "content" {
				return &content{}, nil
			}
			return NewPolicy(name)
		}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Run(ctx) }()
		on := true
		if _, err := s.Listen(ListenOptions{Policy: name, NeverSelf: &on}); err != nil {
			t.Fatal(err)
		}
		s.call(func() { s.core.stood(hosts["reich"], standsListening|standsSteered, nil) })
		client := netip.AddrPortFrom(hosts["alice"], 1)
		if target, ok := s.Steer(client, netip.Addr{}); ok != want || ok && target != hosts["reich"] {
			t.Errorf("%s: %v, %v", name, target, ok)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if _, ok := s.Steer(client, netip.Addr{}); ok {
			t.Error("a service that ended decides")
		}
	}
}

package rr

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/vanycast/vanycast/mipv6"
)

var (
	glass = netip.MustParseAddr("2001:db8:1::10")
	reich = netip.MustParseAddr("2001:db8:2::10")
	pair  = Pair{Home: contact, Client: client}
)

func numbered(n int) netip.Addr {
	a := client.As16()
	binary.BigEndian.PutUint32(a[12:], uint32(n))
	return netip.AddrFrom16(a)
}

func cookieOf(t *testing.T, sends []Send) mipv6.Cookie {
	t.Helper()
	if len(sends) != 1 {
		t.Fatalf("%d messages", len(sends))
	}
	return sends[0].Message.(*mipv6.HomeTestInit).Cookie
}

func TestRelayMatchesByCookie(t *testing.T) {
	r := NewRelay(RelayConfig{Rand: seeded()})
	out, err := r.Ask(start, glass, pair)
	if err != nil {
		t.Fatal(err)
	}
	c := cookieOf(t, out)
	if again, err := r.Ask(start, reich, pair); err != nil || len(again) != 0 {
		t.Fatalf("a second asker of the same pair: sends %v, %v", types(again), err)
	}
	bad := c
	bad[7] ^= 1
	other := Pair{Home: contact, Client: numbered(9)}
	if _, ok := r.HomeTest(start, pair, &mipv6.HomeTest{Cookie: bad}); ok {
		t.Error("a wrong cookie matched")
	}
	if _, ok := r.HomeTest(start, other, &mipv6.HomeTest{Cookie: c}); ok {
		t.Error("a wrong pair matched")
	}
	got, ok := r.HomeTest(at(time.Second), pair, &mipv6.HomeTest{Cookie: c, NonceIndex: 4, Token: mipv6.KeygenToken{7}})
	want := HomeToken{Token: mipv6.KeygenToken{7}, NonceIndex: 4, Received: at(time.Second)}
	if !ok || got.Err != nil || got.Token != want {
		t.Errorf("got %+v, %v", got, ok)
	}
	if r.Len() != 0 || len(r.askers) != 0 {
		t.Errorf("%d tests and %d askers left over", r.Len(), len(r.askers))
	}
}

func TestRelayBounds(t *testing.T) {
	r := NewRelay(RelayConfig{Rand: seeded(), Limit: 3, PerAsker: 2})
	ask := func(asker netip.Addr, n int) error {
		_, err := r.Ask(start, asker, Pair{contact, numbered(n)})
		return err
	}
	for n := range 2 {
		if err := ask(glass, n); err != nil {
			t.Fatal(err)
		}
	}
	if err := ask(glass, 2); !errors.Is(err, ErrRelayFull) {
		t.Errorf("beyond the asker's bound: %v", err)
	}
	if err := ask(glass, 1); err != nil {
		t.Errorf("the same pair again: %v", err)
	}
	if err := ask(reich, 2); err != nil {
		t.Errorf("another asker: %v", err)
	}
	if err := ask(reich, 3); !errors.Is(err, ErrRelayFull) {
		t.Errorf("beyond the whole bound: %v", err)
	}
	r.Cancel(glass, Pair{contact, numbered(1)})
	if r.Len() != 3 {
		t.Error("cancelled one of two asks, and the test is gone")
	}
	r.Cancel(glass, Pair{contact, numbered(1)})
	if err := ask(glass, 2); err != nil || r.Len() != 2 {
		t.Errorf("after cancelling: %v, %d tests", err, r.Len())
	}
	r.Cancel(reich, Pair{contact, numbered(77)}) // of nothing: no effect
}

func TestRelayEnds(t *testing.T) {
	r := NewRelay(RelayConfig{Rand: seeded()})
	if _, err := r.Ask(start, glass, pair); err != nil {
		t.Fatal(err)
	}
	sent := 1
	var ended []Ended
	for range 20 {
		next, ok := r.Next()
		if !ok {
			break
		}
		sends, e, err := r.Poll(next)
		if err != nil {
			t.Fatal(err)
		}
		sent += len(sends)
		ended = append(ended, e...)
		if next.After(at(RelayLifetime)) {
			t.Fatalf("still waiting at %v", next.Sub(start))
		}
	}
	var timeout *TimeoutError
	if len(ended) != 1 || !errors.As(ended[0].Err, &timeout) || sent != DefaultTries {
		t.Errorf("ended %v after %d messages", ended, sent)
	}
	if r.Len() != 0 || len(r.askers) != 0 {
		t.Error("the table is not empty")
	}
}

func TestRelayRefuse(t *testing.T) {
	r := NewRelay(RelayConfig{Rand: seeded()})
	out, err := r.Ask(start, glass, pair)
	if err != nil {
		t.Fatal(err)
	}
	no := errors.New("no mobility")
	if _, ok := r.Refuse(pair, mipv6.Cookie{1}, no); ok {
		t.Error("refused by an error that quotes a foreign cookie")
	}
	if e, ok := r.Refuse(pair, cookieOf(t, out), no); !ok || !errors.Is(e.Err, no) || r.Len() != 0 {
		t.Errorf("refused: %+v, %v", e, ok)
	}
	if _, ok := r.Refuse(pair, cookieOf(t, out), no); ok {
		t.Error("refused twice")
	}
}

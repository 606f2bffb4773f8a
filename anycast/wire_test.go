package anycast

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/rr"
)

func TestMarkEncoding(t *testing.T) {
	token := rr.AgedHomeToken{Token: mipv6.KeygenToken{1, 2, 3, 4, 5, 6, 7, 8}, NonceIndex: 0x0a0b, Age: 3 * time.Second}
	for _, tc := range []struct {
		name string
		mark Mark
		want []byte
	}{
		{"unbound", Mark{Sequence: 0x1234}, []byte{1, 0, 0x12, 0x34}},
		{"bound", Mark{Sequence: 1, Bound: true}, []byte{1, 1, 0, 1}},
		{"with token", Mark{Sequence: 1, Bound: true, HomeToken: &token},
			[]byte{1, 3, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 0x0a, 0x0b, 0, 0, 0x0b, 0xb8}},
		{"relayed", Mark{Sequence: 0x1234, Relayed: true, Anchor: glass},
			[]byte{1, 4, 0x12, 0x34, 0x20, 1, 0xd, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10}},
		{"relayed, immobile", Mark{Sequence: 0x1234, Relayed: true, Immobile: true, Anchor: glass},
			[]byte{1, 12, 0x12, 0x34, 0x20, 1, 0xd, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10}},
		{"relayed, bound", Mark{Sequence: 0x1234, Bound: true, Relayed: true, Anchor: glass},
			[]byte{1, 5, 0x12, 0x34, 0x20, 1, 0xd, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10}},
		{"relayed by nobody", Mark{Sequence: 2, Relayed: true},
			[]byte{1, 4, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}},
	} {
		b, err := tc.mark.MarshalBinary()
		if err != nil || !bytes.Equal(b, tc.want) {
			t.Errorf("%s: % x, %v", tc.name, b, err)
		}
		var got Mark
		if err := got.UnmarshalBinary(b); err != nil {
			t.Errorf("%s: %v", tc.name, err)
		}
		if diff := cmp.Diff(tc.mark, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.name, diff)
		}
	}
}

// A client that is bound is bound to somebody.
func TestMarkBoundToNobody(t *testing.T) {
	var m Mark
	if err := m.UnmarshalBinary(append([]byte{1, 5, 0, 1}, make([]byte, 16)...)); err == nil {
		t.Errorf("taken: %+v", m)
	}
}

func FuzzMark(f *testing.F) {
	f.Add([]byte{1, 1, 0, 1})
	f.Add([]byte{1, 4, 0x12, 0x34, 0x20, 1, 0xd, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10})
	f.Add([]byte{1, 3, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 0x0a, 0x0b, 0, 0, 0x0b, 0xb8})
	f.Fuzz(func(t *testing.T, b []byte) {
		var m Mark
		if m.UnmarshalBinary(b) != nil {
			return
		}
		again, err := m.MarshalBinary()
		if err != nil || !bytes.Equal(again, b) {
			t.Errorf("% x became % x (%v)", b, again, err)
		}
	})
}

func FuzzRequest(f *testing.F) {
	f.Add(marshalRequest(testPair))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := parseRequest(b)
		if err == nil && !bytes.Equal(marshalRequest(p), b) {
			t.Errorf("% x became %v", b, p)
		}
	})
}

func FuzzAnswer(f *testing.F) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	token, _ := marshalAnswer(now, rr.HomeToken{Received: now}, nil)
	refusal, _ := marshalAnswer(now, rr.HomeToken{}, ErrNoMobileIPv6)
	f.Add(token)
	f.Add(refusal)
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := parseAnswer(now, b)
		if err != nil {
			return
		}
		again, err := marshalAnswer(now, got, nil)
		if err != nil || !bytes.Equal(again, b) {
			t.Errorf("% x became % x (%v)", b, again, err)
		}
	})
}

func TestAnswerErrors(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, want := range []error{ErrNoMobileIPv6, errSilent, ErrNotContactNode, ErrNoHomeTest} {
		b, err := marshalAnswer(now, rr.HomeToken{}, fmt.Errorf("%w: %s", want, strings.Repeat("x", 1000)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseAnswer(now, b); !errors.Is(err, want) {
			t.Errorf("%v became %v", want, err)
		}
		if len(b) > 1+maxText {
			t.Errorf("%d octets", len(b))
		}
	}
	for _, b := range [][]byte{nil, {99}, {0}, append([]byte{4}, make([]byte, maxText+1)...)} {
		if _, err := parseAnswer(now, b); err == nil {
			t.Errorf("% x is taken for an answer", b)
		}
	}
}

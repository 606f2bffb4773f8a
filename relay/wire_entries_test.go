package relay

import (
	"bytes"
	"errors"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var legacyPair = clientPair{contactAddr, legacy}

func TestBoundEncoding(t *testing.T) {
	want := unhex(t, "01 01 0000"+contactHex+legacyHex)
	if got := marshalBound(legacyPair, stageBound, 0); !bytes.Equal(got, want) {
		t.Errorf("% x\nwant % x", got, want)
	}
	if p, s, round, err := parseBound(want); err != nil || p != legacyPair || s != stageBound || round != 0 {
		t.Error(p, s, round, err)
	}
	want = unhex(t, "01 03 1234"+contactHex+legacyHex)
	if got := marshalBound(legacyPair, stageFree, 0x1234); !bytes.Equal(got, want) {
		t.Errorf("% x\nwant % x", got, want)
	}
	if p, s, round, err := parseBound(want); err != nil || p != legacyPair || s != stageFree || round != 0x1234 {
		t.Error(p, s, round, err)
	}
}

func TestEntriesEncoding(t *testing.T) {
	all := []Entry{{Conn: connOf(0x1234), Owner: reich, Sequence: 0x0506}, {Conn: connOf(2), Owner: glass}}
	want := unhex(t, "0002 0fa0 1234 0506 20010db8000200000000000000000010 0fa0 0002 0000 20010db8000100000000000000000010")
	if got := AppendEntries(nil, all); !bytes.Equal(got, want) {
		t.Errorf("% x\nwant % x", got, want)
	}
	got, err := ParseEntries(contactAddr, legacy, want)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(all, got, equate...); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestMalformedBinding(t *testing.T) {
	changed := func(i int, v byte) []byte {
		c := marshalBound(legacyPair, stageBound, 0)
		c[i] = v
		return c
	}
	bound := func(b []byte) error { _, _, _, err := parseBound(b); return err }
	entries := func(b []byte) error { _, err := ParseEntries(contactAddr, legacy, b); return err }
	for _, tc := range []struct {
		name  string
		bytes []byte
		parse func([]byte) error
	}{
		{"bound, empty", nil, bound},
		{"bound, cut", changed(0, 1)[:boundLen-1], bound},
		{"bound, too long", append(changed(0, 1), 0), bound},
		{"bound, version", changed(0, 2), bound},
		{"bound, stage", changed(1, byte(stages)), bound},
		{"bound, round", changed(3, 1), bound},
		{"bound, contact address", changed(4, 0xff), bound},
		{"bound, client", changed(20, 0xff), bound},
		{"bound, its own client", marshalBound(clientPair{legacy, legacy}, stageExpect, 0), bound},
		{"entries, empty", nil, entries},
		{"entries, cut", AppendEntries(nil, []Entry{{Conn: connOf(1), Owner: glass}})[:20], entries},
		{"entries, count", []byte{0, 1}, entries},
		{"entries, too many", AppendEntries(nil, make([]Entry, maxCarried+1)), entries},
		{"entries, no port", AppendEntries(nil, []Entry{{Conn: connOf(0), Owner: glass}}), entries},
		{"entries, owner", AppendEntries(nil, []Entry{{Conn: connOf(1), Owner: netip.IPv6Unspecified()}}), entries},
	} {
		if err := tc.parse(tc.bytes); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

func FuzzBound(f *testing.F) {
	f.Add(marshalBound(legacyPair, stageBound, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, s, round, err := parseBound(b)
		if err != nil {
			return
		}
		if again := marshalBound(p, s, round); !bytes.Equal(again, b) {
			t.Errorf("% x became % x", b, again)
		}
	})
}

func FuzzEntries(f *testing.F) {
	f.Add(AppendEntries(nil, []Entry{{Conn: connOf(1), Owner: glass, Sequence: 7}, {Conn: connOf(2), Owner: reich}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		all, err := ParseEntries(contactAddr, legacy, b)
		if err != nil {
			return
		}
		if again := AppendEntries(nil, all); !bytes.Equal(again, b) {
			t.Errorf("% x became % x", b, again)
		}
	})
}

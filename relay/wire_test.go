package relay

import (
	"bytes"
	"encoding/hex"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/vanycast/vanycast/mipv6"
)

var equate = []cmp.Option{cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{}), cmpopts.EquateEmpty()}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const (
	contactHex = "20010db8 00090000 00000000 00000001"
	legacyHex  = "20010db8 000c0000 00000000 00000008"
)

func TestUpdatesEncoding(t *testing.T) {
	all := []Request{
		{connOf(0x1234), reich, 0x0506, 300 * time.Second},
		{connOf(2), reich, 9, 0},
	}
	want := unhex(t, "01 00 0002"+contactHex+
		"0fa0"+legacyHex+"1234 0506 004b"+
		"0fa0"+legacyHex+"0002 0009 0000")
	if got := marshalUpdates(contactAddr, all); !bytes.Equal(got, want) {
		t.Errorf("% x\nwant % x", got, want)
	}
	contact, got, err := parseUpdates(want, reich)
	if err != nil || contact != contactAddr {
		t.Fatal(contact, err)
	}
	if d := cmp.Diff(all, got, equate...); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestResultsEncoding(t *testing.T) {
	all := []Result{{Last: 7, Lifetime: 8 * time.Second, Bound: true}, {Status: mipv6.StatusSequenceOutOfWindow, Last: 0x0102}}
	want := unhex(t, "01 00 0002 00 01 0007 0002 87 00 0102 0000")
	if got := marshalResults(all); !bytes.Equal(got, want) {
		t.Errorf("% x\nwant % x", got, want)
	}
	got, err := parseResults(want, 2)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(all, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if _, err := parseResults(want, 3); !errors.Is(err, ErrMalformed) {
		t.Errorf("two results for three updates: %v", err)
	}
}

func TestAnchorEncoding(t *testing.T) {
	want := unhex(t, "01 01 0000"+contactHex)
	if got := marshalAnchor(contactAddr, phaseAnnounce); !bytes.Equal(got, want) {
		t.Errorf("% x\nwant % x", got, want)
	}
	if contact, client, p, err := parseAnchor(want); err != nil || contact != contactAddr || client.IsValid() || p != phaseAnnounce {
		t.Error(contact, client, p, err)
	}
	want = unhex(t, "01 02 0000"+contactHex+legacyHex)
	if got := marshalClientAnchor(contactAddr, legacy, phaseExpect); !bytes.Equal(got, want) {
		t.Errorf("% x\nwant % x", got, want)
	}
	if contact, client, p, err := parseAnchor(want); err != nil || contact != contactAddr || client != legacy || p != phaseExpect {
		t.Error(contact, client, p, err)
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

// A lifetime is never rounded to zero, which would end the registration.
func TestLifetimeUnits(t *testing.T) {
	for d, want := range map[time.Duration]uint16{
		0: 0, -time.Second: 0, time.Second: 1, 4 * time.Second: 1, 11 * time.Second: 2, 100 * time.Hour: 0xffff,
	} {
		if got := units(d); got != want {
			t.Errorf("%v: %d, want %d", d, got, want)
		}
	}
}

func TestMalformed(t *testing.T) {
	updates := marshalUpdates(contactAddr, []Request{{Conn: connOf(1), Sequence: 1}})
	results := marshalResults([]Result{{}})
	anchor := marshalAnchor(contactAddr, phaseCollect)
	changed := func(b []byte, i int, v byte) []byte {
		c := bytes.Clone(b)
		c[i] = v
		return c
	}
	for _, tc := range []struct {
		name  string
		bytes []byte
		parse func([]byte) error
	}{
		{"updates, empty", nil, parsedUpdates},
		{"updates, cut", updates[:len(updates)-1], parsedUpdates},
		{"updates, too long", append(bytes.Clone(updates), 0), parsedUpdates},
		{"updates, version", changed(updates, 0, 2), parsedUpdates},
		{"updates, reserved", changed(updates, 1, 1), parsedUpdates},
		{"updates, count", changed(updates, 3, 2), parsedUpdates},
		{"updates, contact address", changed(updates, 4, 0xff), parsedUpdates},
		{"updates, client", changed(updates, 22, 0xff), parsedUpdates},
		{"updates, no port", changed(changed(updates, 20, 0), 21, 0), parsedUpdates},
		{"results, empty", nil, parsedResults},
		{"results, cut", results[:len(results)-1], parsedResults},
		{"results, flags", changed(results, 5, 2), parsedResults},
		{"results, version", changed(results, 0, 0), parsedResults},
		{"anchor, empty", nil, parsedAnchor},
		{"anchor, too long", append(bytes.Clone(anchor), 0), parsedAnchor},
		{"anchor, phase", changed(anchor, 1, byte(phases)), parsedAnchor},
		{"anchor, reserved", changed(anchor, 2, 1), parsedAnchor},
		{"anchor, no client", func() []byte { return marshalAnchor(contactAddr, phaseRenew) }(), parsedAnchor},
		{"anchor, client", changed(marshalClientAnchor(contactAddr, legacy, phaseRenew), anchorLen, 0xff), parsedAnchor},
		{"entries, empty", nil, parsedEntries},
		{"entries, cut", AppendEntries(nil, []Entry{{Conn: connOf(1), Owner: glass}})[:20], parsedEntries},
		{"entries, count", []byte{0, 1}, parsedEntries},
		{"entries, too many", AppendEntries(nil, make([]Entry, maxCarried+1)), parsedEntries},
		{"entries, no port", AppendEntries(nil, []Entry{{Conn: connOf(0), Owner: glass}}), parsedEntries},
		{"entries, owner", AppendEntries(nil, []Entry{{Conn: connOf(1), Owner: netip.IPv6Unspecified()}}), parsedEntries},
		{"anchor, contact address", changed(anchor, 4, 0xff), parsedAnchor},
	} {
		if err := tc.parse(tc.bytes); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

func parsedUpdates(b []byte) error { _, _, err := parseUpdates(b, reich); return err }
func parsedResults(b []byte) error { _, err := parseResults(b, 1); return err }
func parsedAnchor(b []byte) error  { _, _, _, err := parseAnchor(b); return err }
func parsedEntries(b []byte) error { _, err := ParseEntries(contactAddr, legacy, b); return err }

func FuzzUpdates(f *testing.F) {
	f.Add(marshalUpdates(contactAddr, []Request{{Conn: connOf(1), Sequence: 1, Lifetime: time.Minute}, {Conn: connOf(2)}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		contact, all, err := parseUpdates(b, reich)
		if err != nil {
			return
		}
		if again := marshalUpdates(contact, all); !bytes.Equal(again, b) {
			t.Errorf("% x became % x", b, again)
		}
	})
}

func FuzzResults(f *testing.F) {
	f.Add(marshalResults([]Result{{Last: 7, Bound: true}, {Status: 135, Last: 9}}), 2)
	f.Fuzz(func(t *testing.T, b []byte, n int) {
		all, err := parseResults(b, n)
		if err != nil {
			return
		}
		if again := marshalResults(all); !bytes.Equal(again, b) {
			t.Errorf("% x became % x", b, again)
		}
	})
}

func FuzzAnchor(f *testing.F) {
	f.Add(marshalAnchor(contactAddr, phaseAnnounce))
	f.Add(marshalClientAnchor(contactAddr, legacy, phaseRenew))
	f.Fuzz(func(t *testing.T, b []byte) {
		contact, client, p, err := parseAnchor(b)
		if err != nil {
			return
		}
		again := marshalAnchor(contact, p)
		if client.IsValid() {
			again = marshalClientAnchor(contact, client, p)
		}
		if !bytes.Equal(again, b) {
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

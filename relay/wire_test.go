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
		{Conn: connOf(0x1234), Owner: reich, Sequence: 0x0506, Lifetime: 300 * time.Second},
		{Conn: connOf(2), Owner: reich, Sequence: 9},
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

func TestLateUpdatesEncoding(t *testing.T) {
	all := []Request{{Conn: connOf(0x1234), Owner: reich, Sequence: 7, Lifetime: 300 * time.Second, Late: true}}
	want := unhex(t, "01 01 0001"+contactHex+"0fa0"+legacyHex+"1234 0007 004b")
	if got := marshalUpdates(contactAddr, all); !bytes.Equal(got, want) {
		t.Errorf("% x\nwant % x", got, want)
	}
	_, got, err := parseUpdates(want, reich)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(all, got, equate...); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if _, _, err := parseUpdates(unhex(t, "01 01 0000"+contactHex), reich); !errors.Is(err, ErrMalformed) {
		t.Errorf("flag without an update: %v", err)
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
	want := unhex(t, "01 01 0e43"+contactHex)
	if got := marshalAnchor(contactAddr, phaseAnnounce, 3651); !bytes.Equal(got, want) {
		t.Errorf("% x\nwant % x", got, want)
	}
	if contact, p, epoch, err := parseAnchor(want); err != nil || contact != contactAddr || p != phaseAnnounce || epoch != 3651 {
		t.Error(contact, p, epoch, err)
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
	anchor := marshalAnchor(contactAddr, phaseCollect, 0) // who collects has no epoch yet
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
		{"updates, unknown flag", changed(updates, 1, 2), parsedUpdates},
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
		{"anchor, epoch of nothing", changed(anchor, 2, 1), parsedAnchor},
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

func FuzzUpdates(f *testing.F) {
	f.Add(marshalUpdates(contactAddr, []Request{{Conn: connOf(1), Sequence: 1, Lifetime: time.Minute}, {Conn: connOf(2)}}))
	f.Add(marshalUpdates(contactAddr, []Request{{Conn: connOf(1), Late: true}}))
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
	f.Add(marshalAnchor(contactAddr, phaseAnnounce, 7))
	f.Fuzz(func(t *testing.T, b []byte) {
		contact, p, epoch, err := parseAnchor(b)
		if err != nil {
			return
		}
		if again := marshalAnchor(contact, p, epoch); !bytes.Equal(again, b) {
			t.Errorf("% x became % x", b, again)
		}
	})
}

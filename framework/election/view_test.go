package election

import (
	"bytes"
	"encoding/hex"
	"errors"
	"net/netip"
	"strings"
	"testing"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const (
	contactHex = "20010db8 00090000 00000000 00000001"
	glassHex   = "20010db8 00010000 00000000 00000010"
	reichHex   = "20010db8 00020000 00000000 00000010"
	noneHex    = "00000000 00000000 00000000 00000000"
)

var goldenViews = []struct {
	name string
	view View
	hex  string
}{
	{"nothing known", View{}, "01 00 0000" + contactHex + noneHex + noneHex},
	{"contact node", View{Epoch: 3651, Known: true, Active: true, Node: addressOf("glass")}, "01 03 0e43" + contactHex + glassHex + noneHex},
	{"yields", View{Epoch: 3651, Known: true, Active: true, Node: addressOf("reich"), Yield: addressOf("glass")}, "01 03 0e43" + contactHex + reichHex + glassHex},
	{"sees", View{Epoch: 0xffff, Known: true, Sees: true, Node: addressOf("glass")}, "01 05 ffff" + contactHex + glassHex + noneHex},
	{"leaving", View{Epoch: 1, Known: true, Active: true, Leaving: true, Node: addressOf("glass")}, "01 0b 0001" + contactHex + glassHex + noneHex},
	{"unable", View{Unable: true}, "01 10 0000" + contactHex + noneHex + noneHex},
}

func TestViewEncoding(t *testing.T) {
	for _, tc := range goldenViews {
		t.Run(tc.name, func(t *testing.T) {
			want := unhex(t, tc.hex)
			if got := marshalView(contact, tc.view); !bytes.Equal(got, want) {
				t.Errorf("% x\nwant % x", got, want)
			}
			if about, got, err := parseView(want); err != nil || about != contact || got != tc.view {
				t.Errorf("%v %+v %v", about, got, err)
			}
		})
	}
}

func TestMalformedView(t *testing.T) {
	good := marshalView(contact, View{Epoch: 7, Known: true, Node: addressOf("glass")})
	changed := func(i int, v byte) []byte {
		b := bytes.Clone(good)
		b[i] = v
		return b
	}
	for name, b := range map[string][]byte{
		"empty": nil, "cut": good[:len(good)-1], "too long": append(bytes.Clone(good), 0),
		"version": changed(0, 2), "unknown flag": changed(1, 0x21), "epoch of nothing": changed(1, 0),
		"contact address": changed(4, 0xff), "no contact address": append(bytes.Clone(good[:4]), make([]byte, 48)...),
		"node": changed(20, 0xff), "yield": changed(36, 0xfe), "yields what is not his": changed(51, 9),
		"active without epoch": append([]byte{1, 2, 0, 0}, good[4:]...),
	} {
		if _, v, err := parseView(b); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %+v, %v", name, v, err)
		}
	}
}

func FuzzView(f *testing.F) {
	for _, tc := range goldenViews {
		f.Add(unhex(f, tc.hex))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		about, v, err := parseView(b)
		if err != nil {
			if !errors.Is(err, ErrMalformed) || about != (netip.Addr{}) {
				t.Fatalf("%v, %v", about, err)
			}
			return
		}
		if again := marshalView(about, v); !bytes.Equal(again, b) {
			t.Fatalf("% x\nbecomes % x", b, again)
		}
	})
}

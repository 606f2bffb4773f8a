package keyfile

import (
	"bytes"
	"encoding/hex"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/vanycast/vanycast/mipv6/esp"
	"github.com/vanycast/vanycast/mipv6/ipsec"
)

var pair = ipsec.Pair{
	Home: netip.MustParseAddr("2001:db8:9::1"), CareOf: netip.MustParseAddr("2001:db8:1::10"), HomeAgent: netip.MustParseAddr("2001:db8:9::ff"),
}

const addresses = "20010db8000900000000000000000001" + "20010db8000100000000000000000010" + "20010db80009000000000000000000ff"

// The bytes on the replicas' channel, both ways.
func TestDelivery(t *testing.T) {
	d := ipsec.Delivery{Pair: pair, Generation: generate(t, 3, esp.AESGCM)}
	b := MarshalDelivery(d)
	head, err := hex.DecodeString("01" + addresses)
	if err != nil {
		t.Fatal(err)
	}
	if want := append(head, Format([]ipsec.Generation{d.Generation})...); !bytes.Equal(b, want) {
		t.Errorf("%d bytes, want %d: %x", len(b), len(want), b[:len(head)])
	}
	got, err := ParseDelivery(b)
	if err != nil || got.Pair != d.Pair || !bytes.Equal(MarshalDelivery(got), b) {
		t.Errorf("read again: %v, %v", got.Pair, err)
	}
}

// What is wrong is refused, and no key is in the refusal.
func TestDeliveryMistakes(t *testing.T) {
	g := generate(t, 3, esp.AESGCM)
	good := MarshalDelivery(ipsec.Delivery{Pair: pair, Generation: g})
	change := func(f func(b []byte) []byte) []byte { return f(bytes.Clone(good)) }
	for name, b := range map[string][]byte{
		"nothing":         nil,
		"cut":             good[:48],
		"no generation":   good[:49],
		"another version": change(func(b []byte) []byte { b[0] = 2; return b }),
		"no address":      change(func(b []byte) []byte { clear(b[1:17]); return b }),
		"twice the same":  change(func(b []byte) []byte { copy(b[17:33], b[1:17]); return b }),
		"two generations": change(func(b []byte) []byte { return append(b, Format([]ipsec.Generation{generate(t, 4, esp.AESGCM)})...) }),
		"cut in the keys": good[:len(good)-70],
		"too long":        append(bytes.Clone(good), make([]byte, maxFile)...),
	} {
		_, err := ParseDelivery(b)
		if !errors.Is(err, ErrFormat) && !errors.Is(err, ipsec.ErrGeneration) {
			t.Errorf("%s: %v", name, err)
		}
		for _, a := range g.Associations {
			if err != nil && strings.Contains(err.Error(), hex.EncodeToString(a.Key.Expose())[:8]) {
				t.Errorf("%s: a key is in %v", name, err)
			}
		}
	}
}

func FuzzParseDelivery(f *testing.F) {
	f.Add(MarshalDelivery(ipsec.Delivery{Pair: pair, Generation: generate(f, 1, esp.AESCBCHMACSHA256)}))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := ParseDelivery(b)
		if err != nil {
			return
		}
		again, err := ParseDelivery(MarshalDelivery(d))
		if err != nil || again.Pair != d.Pair {
			t.Fatalf("%v does not survive: %v", d.Pair, err)
		}
	})
}

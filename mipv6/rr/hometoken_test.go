package rr

import (
	"bytes"
	"testing"
	"time"

	"github.com/vanycast/vanycast/mipv6"
)

func TestHomeTokenAge(t *testing.T) {
	tok := HomeToken{Token: mipv6.KeygenToken{1, 2}, NonceIndex: 0x1234, Received: at(0)}
	b, err := tok.Aged(at(1500*time.Millisecond + 1)).MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	want := []byte{1, 2, 0, 0, 0, 0, 0, 0, 0x12, 0x34, 0, 0, 0x05, 0xdd} // rounded up: never younger than it is
	if !bytes.Equal(b, want) {
		t.Errorf("encoded % x, want % x", b, want)
	}
	var got AgedHomeToken
	if err := got.UnmarshalBinary(b); err != nil {
		t.Fatal(err)
	}
	// The other host's clock is an hour off; only the age counts.
	there := at(time.Hour)
	if d := there.Sub(got.At(there).Received); d != 1501*time.Millisecond {
		t.Errorf("age there: %v", d)
	}
	if got.At(there).String() != "home token of nonce 4660" {
		t.Error(got.At(there))
	}
}

func TestHomeTokenFresh(t *testing.T) {
	tok := HomeToken{Received: start}
	limit := mipv6.MaxTokenLifetime - TokenMargin
	for _, tc := range []struct {
		now  time.Duration
		want bool
	}{{0, true}, {limit - 1, true}, {limit, false}, {-1, false}} {
		if got := tok.Fresh(at(tc.now)); got != tc.want {
			t.Errorf("after %v: %v", tc.now, got)
		}
	}
	if (HomeToken{}).Fresh(start) {
		t.Error("no token is fresh")
	}
}

func TestHomeTokenEncodingErrors(t *testing.T) {
	if _, err := (AgedHomeToken{Age: maxAge + 1}).MarshalBinary(); err == nil {
		t.Error("too old a token was encoded")
	}
	var a AgedHomeToken
	for _, b := range [][]byte{nil, make([]byte, AgedHomeTokenLen-1), make([]byte, AgedHomeTokenLen+1),
		append(make([]byte, 10), 0xff, 0xff, 0xff, 0xff)} {
		if err := a.UnmarshalBinary(b); err == nil {
			t.Errorf("% x was decoded", b)
		}
	}
}

func FuzzAgedHomeToken(f *testing.F) {
	f.Add(make([]byte, AgedHomeTokenLen))
	f.Fuzz(func(t *testing.T, b []byte) {
		var a AgedHomeToken
		if a.UnmarshalBinary(b) != nil {
			return
		}
		out, err := a.MarshalBinary()
		if err != nil || !bytes.Equal(out, b) {
			t.Errorf("% x became % x (%v)", b, out, err)
		}
	})
}

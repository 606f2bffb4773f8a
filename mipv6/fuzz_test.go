package mipv6

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// FuzzParse: whatever parses can be marshalled, and parses to the same again;
// whatever does not is a *ParseError with an offset in or just behind the input.
func FuzzParse(f *testing.F) {
	for _, tt := range golden {
		b, err := Marshal(tt.msg, home, correspondent)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		m, err := Parse(b)
		if _, _, aerr := AuthenticatorInput(b); aerr == nil && err != nil {
			t.Fatalf("authenticator of what does not parse: %v", err)
		}
		VerifyChecksum(b, home, correspondent)
		if !bytes.Equal(b, before) {
			t.Fatalf("input changed")
		}
		if err != nil {
			var e *ParseError
			if !errors.As(err, &e) || e.Offset < 0 || e.Offset > len(b) {
				t.Fatalf("error %#v", err)
			}
			return
		}
		out, err := Marshal(m, home, correspondent)
		if err != nil {
			if canGrow(m) {
				return
			}
			t.Fatalf("Marshal(%#v): %v", m, err)
		}
		if !VerifyChecksum(out, home, correspondent) {
			t.Fatalf("checksum of %x", out)
		}
		again, err := Parse(out)
		if err != nil {
			t.Fatalf("Parse(%x): %v", out, err)
		}
		if d := cmp.Diff(m, again, compareAddr, cmpopts.EquateEmpty()); d != "" {
			t.Fatalf("round trip (-first +again):\n%s", d)
		}
	})
}

// canGrow tells whether a received message may not be sendable: a sender that
// does not align its options fits more of them in a header than we do, and one
// may put options behind the authorization data.
func canGrow(m Message) bool {
	options := *m.mobilityOptions()
	if len(options) > 40 {
		return true
	}
	for i, o := range options {
		if _, ok := o.(*AuthorizationData); ok && i < len(options)-1 {
			return true
		}
	}
	return false
}

// FuzzParsePacket: whatever parses, whole or quoted, keeps its addresses and
// payload over a round trip.
func FuzzParsePacket(f *testing.F) {
	for _, p := range goldenPackets {
		f.Add(wire(f, p.wire...))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParsePacket(b)
		q, qerr := ParseQuoted(b)
		if err == nil {
			if d := cmp.Diff(p, q, compareAddr); qerr != nil || d != "" {
				t.Fatalf("quoted: %v\n%s", qerr, d)
			}
		}
		if qerr != nil {
			var e *PacketError
			if !errors.As(qerr, &e) || e.Offset < 0 || e.Offset > len(b) {
				t.Fatalf("error %#v", qerr)
			}
			return
		}
		out, err := q.MarshalBinary()
		if err != nil {
			t.Fatalf("MarshalBinary(%+v): %v", q, err)
		}
		again, err := ParsePacket(out)
		if err != nil {
			t.Fatalf("ParsePacket(%x): %v", out, err)
		}
		if d := cmp.Diff(q, again, compareAddr, cmpopts.EquateEmpty()); d != "" {
			t.Fatalf("round trip (-first +again):\n%s", d)
		}
	})
}

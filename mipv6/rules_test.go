package mipv6

import (
	"bytes"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Rules of RFC 6275 that the codec keeps, one test each.

// §6.1.1, §11.3.1: the pseudo-header has the home address where the packet has
// a Home Address option or a type 2 routing header.
func TestChecksumPseudoHeader(t *testing.T) {
	for _, tt := range []struct {
		name     string
		p        Packet
		src, dst netip.Addr
	}{
		{"neither", Packet{Src: careOf, Dst: correspondent}, careOf, correspondent},
		{"home address option", Packet{Src: careOf, Dst: correspondent, HomeAddress: home}, home, correspondent},
		{"type 2 routing header", Packet{Src: correspondent, Dst: careOf, RoutingHome: home}, correspondent, home},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.p.Carry(&BindingUpdate{Sequence: 1}, nil); err != nil {
				t.Fatal(err)
			}
			if !VerifyChecksum(tt.p.Payload, tt.src, tt.dst) {
				t.Errorf("checksum is not right for %v to %v", tt.src, tt.dst)
			}
			if tt.src != tt.p.Src && VerifyChecksum(tt.p.Payload, tt.p.Src, tt.dst) {
				t.Errorf("checksum is right for the care-of address %v", tt.p.Src)
			}
			if tt.dst != tt.p.Dst && VerifyChecksum(tt.p.Payload, tt.src, tt.p.Dst) {
				t.Errorf("checksum is right for the care-of address %v", tt.p.Dst)
			}
		})
	}
}

// §6.1.1: the checksum covers every octet of the header.
func TestChecksumCoversAll(t *testing.T) {
	b, err := Marshal(&HomeTest{NonceIndex: 9, Cookie: cookie, Token: token}, home, correspondent)
	if err != nil {
		t.Fatal(err)
	}
	for i := range b {
		b[i] ^= 0x10
		if VerifyChecksum(b, home, correspondent) {
			t.Errorf("octet %d changed and the checksum still right", i)
		}
		b[i] ^= 0x10
	}
}

// §9.2: an unknown MH Type draws a Binding Error, a wrong Payload Proto or
// Header Len an ICMPv6 parameter problem that points to the field; tested in
// this order.
func TestReceivedHeaderTests(t *testing.T) {
	for _, tt := range []struct {
		name    string
		wire    string
		kind    ErrorKind
		offset  int
		problem bool
	}{
		{"empty", "", KindTruncated, 0, false},
		{"seven octets", "3b000000000000", KindTruncated, 7, false},
		{"header len over the end", "3b01000000000000", KindTruncated, 8, false},
		{"unknown type", "3b00080000000000", KindUnknownType, 2, false},
		{"unknown type comes before payload proto", "0600080000000000", KindUnknownType, 2, false},
		{"payload proto TCP", "0600000000000000", KindPayloadProto, 0, true},
		{"payload proto comes before header len", "0600010000000000", KindPayloadProto, 0, true},
		{"home test init of 8 octets", "3b00010000000000", KindHeaderLength, 1, true},
		{"care-of test init of 8 octets", "3b00020000000000", KindHeaderLength, 1, true},
		{"home test of 16 octets", "3b01030000000000 0000000000000000", KindHeaderLength, 1, true},
		{"care-of test of 16 octets", "3b01040000000000 0000000000000000", KindHeaderLength, 1, true},
		{"binding update of 8 octets", "3b00050000000000", KindHeaderLength, 1, true},
		{"acknowledgement of 8 octets", "3b00060000000000", KindHeaderLength, 1, true},
		{"binding error of 16 octets", "3b01070000000000 0000000000000000", KindHeaderLength, 1, true},
		{"option without length", "3b01000000000000 01050000000000c8", KindOption, 15, false},
		{"option over the end", "3b01000000000000 c807000000000000", KindOption, 9, false},
		{"PadN over the end", "3b01000000000000 0107000000000000", KindOption, 9, false},
		{"refresh advice of length 3", "3b01000000000000 0203000000000000", KindOption, 9, false},
		{"nonce indices of length 2", "3b01000000000000 0402000000000000", KindOption, 9, false},
		{"alternate care-of address of length 4", "3b01000000000000 0304000000000000", KindOption, 9, false},
		{"authorization data of length 4", "3b01000000000000 0504000000000000", KindOption, 9, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, err := Parse(wire(t, tt.wire))
			var e *ParseError
			if !errors.As(err, &e) {
				t.Fatalf("Parse: %v, %v; want a *ParseError", m, err)
			}
			if !errors.Is(err, tt.kind) || e.Offset != tt.offset || e.ParameterProblem() != tt.problem {
				t.Errorf("Parse: %v (parameter problem %v), want %v at octet %d (%v)", err, e.ParameterProblem(), tt.kind, tt.offset, tt.problem)
			}
		})
	}
}

// §6.1: reserved fields are ignored by the receiver.
func TestReservedIgnored(t *testing.T) {
	got, err := Parse(wire(t, "3b0105ff0000 0001 8fff 0001 01020000"))
	if err != nil {
		t.Fatal(err)
	}
	want := &BindingUpdate{Sequence: 1, Acknowledge: true, Lifetime: 4 * time.Second}
	if d := cmp.Diff(Message(want), got); d != "" {
		t.Errorf("Parse (-want +got):\n%s", d)
	}
}

// §6.2: every known option stands where its alignment wants it, whatever comes
// before it; the header is a multiple of 8 octets.
func TestOptionAlignment(t *testing.T) {
	options := []Option{&RefreshAdvice{}, &AlternateCareOf{careOf}, &NonceIndices{}, &AuthorizationData{auth}}
	for shift := range 9 {
		for _, o := range options {
			m := &BindingUpdate{Options: []Option{&UnknownOption{200, make([]byte, shift)}, o}}
			b, err := Marshal(m, home, correspondent)
			if err != nil {
				t.Fatal(err)
			}
			if len(b)%8 != 0 || int(b[1]) != len(b)/8-1 {
				t.Errorf("%T after %d octets: length %d, Header Len %d", o, shift, len(b), b[1])
			}
			at := headerLen + updateLen + 2 + shift // behind the unknown option
			for b[at] == optionPad1 || b[at] == optionPadN {
				if b[at] == optionPad1 {
					at++
				} else {
					at += 2 + int(b[at+1])
				}
			}
			if of, want := o.align(); b[at] != o.optionType() || at%of != want%of {
				t.Errorf("%T after %d octets stands at %d, want %dn+%d", o, shift, at, of, want)
			}
		}
	}
}

// §6.2.1: an unknown option does not disturb those around it.
func TestUnknownOptionSkipped(t *testing.T) {
	m := &BindingUpdate{Options: []Option{&UnknownOption{99, nil}, &NonceIndices{1, 2}, &UnknownOption{255, []byte{1}}}}
	b, err := Marshal(m, home, correspondent)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	if o, ok := FindOption[*NonceIndices](got); !ok || *o != (NonceIndices{1, 2}) {
		t.Errorf("nonce indices %v, %v", o, ok)
	}
	if _, ok := FindOption[*AuthorizationData](got); ok {
		t.Errorf("found authorization data that is not there")
	}
}

// §6.2.7: the authenticator covers the header up to the Authenticator field,
// checksum zero; the option is the last; the checksum covers the authenticator.
func TestAuthenticator(t *testing.T) {
	m := &BindingUpdate{Sequence: 7, Acknowledge: true, Lifetime: 420 * time.Second, Options: []Option{&NonceIndices{3, 4}}}
	var signed []byte
	b, err := MarshalAuthenticated(m, home, correspondent, func(d []byte) Authenticator {
		signed = bytes.Clone(d)
		return auth
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := wire(t, "3b0305000000 0007 8000 0069 040400030004 050c"); !bytes.Equal(signed, want) {
		t.Errorf("signed data\n got %x\nwant %x", signed, want)
	}
	if !VerifyChecksum(b, home, correspondent) {
		t.Errorf("wrong checksum")
	}
	if len(m.Options) != 1 {
		t.Errorf("the caller's message has changed: %d options", len(m.Options))
	}
	before := bytes.Clone(b)
	data, a, err := AuthenticatorInput(b)
	if err != nil || a != auth || !bytes.Equal(data, signed) {
		t.Errorf("AuthenticatorInput: %x, %x, %v; want %x, %x", data, a, err, signed, auth)
	}
	if !bytes.Equal(b, before) {
		t.Errorf("AuthenticatorInput changed the message")
	}
}

// §6.2.7: without the option as the last there is nothing to verify.
func TestAuthenticatorMissing(t *testing.T) {
	for _, tt := range []struct{ name, wire string }{
		{"no option", "3b0105000000 0007 8000 0069 01020000"},
		{"other option", "3b0205000000 0007 8000 0069 040400030004 010400000000"},
		{"option behind it", "3b0405000000 0007 8000 0069 010400000000 050c0102030405060708090a0b0c 0202000101020000"},
		{"padding behind it", "3b0305000000 0007 8000 0069 050c0102030405060708090a0b0c 010400000000"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := AuthenticatorInput(wire(t, tt.wire))
			if !errors.Is(err, KindAuthorization) {
				t.Errorf("AuthenticatorInput: %v, want %v", err, KindAuthorization)
			}
		})
	}
}

// RFC 8200 §4.7: octets behind a header whose next is IPPROTO_NONE are ignored.
func TestOctetsBehindHeader(t *testing.T) {
	b, err := Marshal(&BindingRefreshRequest{}, home, correspondent)
	if err != nil {
		t.Fatal(err)
	}
	b = append(b, 1, 2, 3)
	if _, err := Parse(b); err != nil || !VerifyChecksum(b, home, correspondent) {
		t.Errorf("Parse: %v; VerifyChecksum: %v", err, VerifyChecksum(b, home, correspondent))
	}
}

// What cannot be said on the wire is an error of Marshal, never a wrapped value.
func TestMarshalErrors(t *testing.T) {
	for _, tt := range []struct {
		name string
		msg  Message
		want string
	}{
		{"negative lifetime", &BindingUpdate{Lifetime: -4 * time.Second}, "between 0 and"},
		{"lifetime beyond 65535 units", &BindingUpdate{Lifetime: MaxLifetime + TimeUnit}, "between 0 and"},
		{"lifetime that would become a deregistration", &BindingUpdate{Lifetime: 3 * time.Second}, "less than the unit"},
		{"granted lifetime too long", &BindingAcknowledgement{Lifetime: MaxLifetime + 1}, "between 0 and"},
		{"refresh interval too long", &BindingRefreshRequest{Options: []Option{&RefreshAdvice{MaxLifetime + 1}}}, "between 0 and"},
		{"home address missing", &BindingError{}, "not an IPv6 address"},
		{"IPv4 care-of address", &BindingUpdate{Options: []Option{&AlternateCareOf{netip.MustParseAddr("192.0.2.1")}}}, "not an IPv6 address"},
		{"authorization data not last", &BindingUpdate{Options: []Option{&AuthorizationData{}, &NonceIndices{}}}, "not the last"},
		{"known type as unknown", &BindingUpdate{Options: []Option{&UnknownOption{Type: optionPadN}}}, "not unknown"},
		{"option too long", &BindingUpdate{Options: []Option{&UnknownOption{99, make([]byte, 256)}}}, "at most 255"},
		{"header too long", &BindingUpdate{Options: manyOptions(9)}, "do not fit"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, err := Marshal(tt.msg, home, correspondent)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Marshal: %x, %v; want an error with %q", b, err, tt.want)
			}
		})
	}
	if _, err := Marshal(&BindingUpdate{Options: manyOptions(7)}, home, correspondent); err != nil {
		t.Errorf("Marshal of what just fits: %v", err)
	}
	if _, err := Marshal(&BindingUpdate{}, netip.Addr{}, correspondent); err == nil {
		t.Errorf("Marshal without a source address: no error")
	}
	signed := &BindingUpdate{Options: []Option{&AuthorizationData{}}}
	if _, err := MarshalAuthenticated(signed, home, correspondent, nil); !errors.Is(err, errAlreadyAuthenticated) {
		t.Errorf("MarshalAuthenticated of an authenticated message: %v", err)
	}
}

func manyOptions(n int) (options []Option) {
	for range n {
		options = append(options, &UnknownOption{99, make([]byte, 255)})
	}
	return options
}

// §6.1.8: values below 128 accept.
func TestStatusAccepted(t *testing.T) {
	for s, want := range map[Status]bool{StatusAccepted: true, StatusPrefixDiscovery: true, 127: true, StatusReasonUnspecified: false, StatusInvalidCareOf: false} {
		if s.Accepted() != want {
			t.Errorf("%v: Accepted is %v", s, !want)
		}
	}
}

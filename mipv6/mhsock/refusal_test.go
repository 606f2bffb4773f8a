package mhsock

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/internal/rawsock"
)

// RFC 6275 §9.2, §9.3.3: what is answered, to whom, and what is not.
func TestRefusal(t *testing.T) {
	unknown := []byte{59, 0, 99, 0, 0, 0, 0, 0}
	proto := []byte{6, 0, 0, 0, 0, 0, 0, 0}
	beShort := []byte{59, 0, 7, 0, 0, 0, 0, 0}
	for _, tt := range []struct {
		name string
		r    Received
		want mipv6.Message
		next uint8
		ptr  uint32
	}{
		{"unknown type", Received{Src: addrA, Dst: addrB, Message: unknown},
			&mipv6.BindingError{Status: mipv6.UnrecognizedMHType, Home: netip.IPv6Unspecified()}, mipv6.ProtocolMobility, 0},
		{"unknown type from a mobile node", Received{Src: homeA, CareOf: addrA, Dst: addrB, Message: unknown},
			&mipv6.BindingError{Status: mipv6.UnrecognizedMHType, Home: homeA}, mipv6.ProtocolMobility, 0},
		{"payload proto", Received{Src: addrA, Dst: addrB, Message: proto}, nil, protocolICMPv6, 40},
		{"payload proto from a mobile node", Received{Src: homeA, CareOf: addrA, Dst: addrB, Message: proto}, nil, protocolICMPv6, 64},
		{"binding error", Received{Src: addrA, Dst: addrB, Message: beShort}, nil, 0, 0},
		{"truncated", Received{Src: addrA, Dst: addrB, Message: unknown[:5]}, nil, 0, 0},
		{"multicast", Received{Src: addrA, Dst: netip.MustParseAddr("ff02::1"), Message: unknown}, nil, 0, 0},
		{"unspecified source", Received{Src: netip.IPv6Unspecified(), Dst: addrB, Message: unknown}, nil, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := mipv6.Parse(tt.r.Message)
			p := Refusal(tt.r, err)
			if tt.next == 0 {
				if p != nil {
					t.Fatalf("answer %+v", p)
				}
				return
			}
			if p == nil || p.Src != addrB || p.Dst != addrA || p.NextHeader != tt.next {
				t.Fatalf("answer %+v", p)
			}
			if tt.want == nil {
				e, err := parseICMP(p.Payload)
				if err != nil || e.Pointer != tt.ptr || e.Type != TypeParameterProblem || e.Code != 0 {
					t.Errorf("ICMPv6 %+v, %v; want pointer %d", e, err, tt.ptr)
				}
				return
			}
			m, err := mipv6.Parse(p.Payload)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, m, compareAddr); d != "" {
				t.Errorf("answer (-want +got):\n%s", d)
			}
		})
	}
	if p := Refusal(Received{Src: addrA, Dst: addrB}, errors.New("another")); p != nil {
		t.Errorf("answer to an error that is not about parsing: %+v", p)
	}
}

// FuzzParseICMP: anything may be quoted.
func FuzzParseICMP(f *testing.F) {
	p := Refusal(Received{Src: homeA, CareOf: addrA, Dst: addrB, Message: []byte{6, 0, 0, 0, 0, 0, 0, 0}},
		&mipv6.ParseError{Kind: mipv6.KindPayloadProto})
	f.Add(p.Payload)
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, err := parseICMP(b); err == nil && !e.Mobility && !e.Home.IsValid() && !e.RoutedHome.IsValid() {
			t.Fatalf("%+v is not about Mobile IPv6", e)
		}
	})
}

// FuzzReceived: ancillary data of any content make a Received or an error.
func FuzzReceived(f *testing.F) {
	f.Add([]byte("\x24\x00\x00\x00\x00\x00\x00\x00\x29\x00\x00\x00\x32\x00\x00\x00\x20\x01\x0d\xb8\x00\xab\x00\x00\x00\x00\x00\x00\x00\x00\x00\x0b\x02\x00\x00\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, control []byte) {
		if r, err := received(rawsock.Datagram{From: addrA, Data: []byte{1}, Control: control, Whole: true}); err == nil && !r.Dst.IsValid() {
			t.Fatalf("%+v has no destination", r)
		}
	})
}

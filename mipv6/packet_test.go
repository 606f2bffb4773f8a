package mipv6

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// goldenPackets are what Scapy 2.5 makes of the same values, each line a header.
var goldenPackets = []struct {
	name string
	p    Packet
	msg  Message
	wire []string
}{
	{"plain",
		Packet{Src: home, Dst: correspondent, HopLimit: 64}, &HomeTestInit{Cookie: cookie},
		[]string{
			"60000000 0010 87 40 20010db8000900000000000000000001 20010db8000500000000000000000007",
			"3b01010057cb 0000 0102030405060708",
		}},
	{"home address option",
		Packet{Src: careOf, Dst: correspondent, HomeAddress: home, HopLimit: 64},
		&BindingUpdate{Sequence: 0x4242, Acknowledge: true, HomeRegistration: true, Lifetime: 600 * time.Second, Options: []Option{&AlternateCareOf{careOf}}},
		[]string{
			"60000000 0038 3c 40 20010db8000100000000000000000010 20010db8000500000000000000000007",
			"87 02 0102 0000 c9 10 20010db8000900000000000000000001", // PadN, then the option at 8n+6
			"3b0305002f1a 4242 c000 0096 0100 0310 20010db8000100000000000000000010",
		}},
	{"type 2 routing header",
		Packet{Src: correspondent, Dst: careOf, RoutingHome: home, HopLimit: 64}, &BindingAcknowledgement{KeyManagement: true, Sequence: 7, Lifetime: 420 * time.Second},
		[]string{
			"60000000 0028 2b 40 20010db8000500000000000000000007 20010db8000100000000000000000010",
			"87 02 02 01 00000000 20010db8000900000000000000000001",
			"3b01060060ed 0080 0007 0069 01020000",
		}},
	{"both", // two mobile nodes that talk to each other
		Packet{Src: careOf, Dst: correspondent, HomeAddress: home, RoutingHome: home, HopLimit: 1}, &BindingRefreshRequest{},
		[]string{
			"60000000 0038 2b 01 20010db8000100000000000000000010 20010db8000500000000000000000007",
			"3c 02 02 01 00000000 20010db8000900000000000000000001",
			"87 02 0102 0000 c9 10 20010db8000900000000000000000001",
			"3b00000068ea 0000",
		}},
}

func TestGoldenPackets(t *testing.T) {
	for _, tt := range goldenPackets {
		t.Run(tt.name, func(t *testing.T) {
			want, p := wire(t, tt.wire...), tt.p
			if err := p.Carry(tt.msg, nil); err != nil {
				t.Fatalf("Carry: %v", err)
			}
			got, err := p.MarshalBinary()
			if err != nil {
				t.Fatalf("MarshalBinary: %v", err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("MarshalBinary:\n got %x\nwant %x", got, want)
			}
			back, err := ParsePacket(append(want, 0, 0, 0)) // link padding is no part of it
			if err != nil {
				t.Fatalf("ParsePacket: %v", err)
			}
			if d := cmp.Diff(&p, back, compareAddr); d != "" {
				t.Errorf("ParsePacket (-want +got):\n%s", d)
			}
			m, err := Parse(back.Payload)
			if err != nil {
				t.Fatalf("Parse: %v", err)
			}
			if d := cmp.Diff(tt.msg, m, compareAddr); d != "" {
				t.Errorf("Parse (-want +got):\n%s", d)
			}
		})
	}
}

// header is a base header with this length and next header.
func header(length, next string) string {
	return "60000000" + length + next + "40" + "20010db8000100000000000000000010" + "20010db8000500000000000000000007"
}

func TestParsePacketExtensionHeaders(t *testing.T) {
	for _, tt := range []struct {
		name string
		wire []string
		next uint8
		want string
	}{
		{"hop-by-hop first", []string{header("0010", "00"), "3a 00 05 02 0000 0100", "8000000000000001"}, 58, "8000000000000001"},
		{"unknown destination option", []string{header("0010", "3c"), "3a 00 1e 04 00000000", "8000000000000001"}, 58, "8000000000000001"},
		{"used routing header of another type", []string{header("0010", "2b"), "3a 00 09 00 00000000", "8000000000000001"}, 58, "8000000000000001"},
		{"fragment is the payload", []string{header("0010", "2c"), "3a00000100000001", "8000000000000001"}, 44, "3a000001000000018000000000000001"},
		{"empty payload", []string{header("0000", "3b")}, 59, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := ParsePacket(wire(t, tt.wire...))
			if err != nil {
				t.Fatalf("ParsePacket: %v", err)
			}
			if p.NextHeader != tt.next || hex.EncodeToString(p.Payload) != tt.want || p.HomeAddress.IsValid() || p.RoutingHome.IsValid() {
				t.Errorf("ParsePacket: %+v, want next header %d and payload %s", p, tt.next, tt.want)
			}
		})
	}
}

func TestParsePacketErrors(t *testing.T) {
	const option = "c910 20010db8000900000000000000000001"
	for _, tt := range []struct {
		name   string
		wire   []string
		offset int
		reason string
	}{
		{"short", []string{"6000"}, 2, "shorter than"},
		{"IPv4", []string{"45", header("0000", "3b")}, 0, "version"},
		{"payload length", []string{header("0001", "3b")}, 4, "payload length"},
		{"no extension header", []string{header("0000", "3c")}, 40, "truncated extension header"},
		{"extension header over the end", []string{header("0008", "3c"), "3b01 0104 00000000"}, 41, "runs over the end"},
		{"option over the header", []string{header("0008", "3c"), "3b00 0105 00000000"}, 43, "option runs over"},
		{"option without length", []string{header("0008", "3c"), "3b00 0103 000000c9"}, 47, "truncated option"},
		{"home address of 15 octets", []string{header("0018", "3c"), "3b02 0102 0000 c90f 20010db80009000000000000000000 00"}, 46, "wrong length"},
		{"two home addresses", []string{header("0028", "3c"), "3b04", option, option, "0102 0000"}, 60, "second Home Address"},
		{"late hop-by-hop", []string{header("0010", "3c"), "0000 0104 00000000", "3b00 0104 00000000"}, 48, "hop-by-hop"},
		{"source routing", []string{header("0008", "2b"), "3b00 0001 00000000"}, 42, "routing header of type 0"},
		{"type 2 of 8 octets", []string{header("0008", "2b"), "3b00 0201 00000000"}, 41, "wrong length"},
		{"type 2 with two segments", []string{header("0018", "2b"), "3b02 0202 00000000 20010db8000900000000000000000001"}, 43, "more than one segment"},
		{"two of type 2", []string{header("0030", "2b"), "2b02 0201 00000000 20010db8000900000000000000000001",
			"3b02 0201 00000000 20010db8000900000000000000000001"}, 64, "second type 2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := ParsePacket(wire(t, tt.wire...))
			var e *PacketError
			if !errors.As(err, &e) {
				t.Fatalf("ParsePacket: %+v, %v; want a *PacketError", p, err)
			}
			if e.Offset != tt.offset || !strings.Contains(e.Reason, tt.reason) {
				t.Errorf("ParsePacket: %v, want %q at octet %d", e, tt.reason, tt.offset)
			}
		})
	}
}

// RFC 4443 §2.4(c): an error quotes as much as fits.
func TestParseQuoted(t *testing.T) {
	whole := wire(t, goldenPackets[1].wire...)
	const headers = ipv6HeaderLen + homeAddressLen
	for n := range whole {
		p, err := ParseQuoted(whole[:n])
		if n < headers {
			if err == nil {
				t.Errorf("%d octets: %+v, want an error", n, p)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%d octets: %v", n, err)
		}
		if p.HomeAddress != home || len(p.Payload) != n-headers {
			t.Errorf("%d octets: home address %v, payload %x", n, p.HomeAddress, p.Payload)
		}
	}
}

func TestFindDestinationOption(t *testing.T) {
	retyped := wire(t, "8702 0102 0000 1e10 20010db8000100000000000000000010")
	want := careOf.As16()
	if got, ok := FindDestinationOption(retyped, 0x1e); !ok || !bytes.Equal(got, want[:]) {
		t.Errorf("FindDestinationOption: %x, %v", got, ok)
	}
	if got, ok := FindDestinationOption(retyped, OptionHomeAddress); ok {
		t.Errorf("found %x, which is not there", got)
	}
	for n := range retyped {
		if got, ok := FindDestinationOption(retyped[:n], 0x1e); ok {
			t.Errorf("found %x in the first %d octets", got, n)
		}
	}
}

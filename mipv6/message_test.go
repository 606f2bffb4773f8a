package mipv6

import (
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var (
	home          = netip.MustParseAddr("2001:db8:9::1")
	careOf        = netip.MustParseAddr("2001:db8:1::10")
	correspondent = netip.MustParseAddr("2001:db8:5::7")

	cookie = Cookie{1, 2, 3, 4, 5, 6, 7, 8}
	token  = KeygenToken{0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8}
	auth   = Authenticator{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}

	compareAddr = cmpopts.EquateComparable(netip.Addr{})
)

// golden messages go from home to correspondent. Each line of wire is one or
// a few fields. Those marked scapy are what Scapy 2.5 makes of the same values
// (checksum too); tshark 4.0 decodes all of them as the values here say.
// Scapy writes wrong lengths (16) for Nonce Indices and Binding Authorization
// Data, hence their absence there.
var golden = []struct {
	name string
	msg  Message
	wire []string
}{
	{"refresh request", &BindingRefreshRequest{}, []string{ // scapy
		"3b 00 00 00 68e8", // payload proto, header len, MH type, reserved, checksum
		"0000",             // reserved
	}},
	{"refresh request with advice", &BindingRefreshRequest{Options: []Option{&RefreshAdvice{420 * time.Second}}}, []string{ // scapy
		"3b 01 00 00 6572",
		"0000",
		"02 02 0069", // refresh advice, 105 * 4 s
		"01 02 0000", // PadN
	}},
	{"home test init", &HomeTestInit{Cookie: cookie}, []string{ // scapy
		"3b 01 01 00 57cb",
		"0000",
		"0102030405060708", // cookie
	}},
	{"care-of test init", &CareOfTestInit{Cookie: cookie}, []string{ // scapy
		"3b 01 02 00 56cb",
		"0000",
		"0102030405060708",
	}},
	{"home test", &HomeTest{NonceIndex: 0x1234, Cookie: cookie, Token: token}, []string{ // scapy
		"3b 02 03 00 b0f7",
		"1234", // nonce index
		"0102030405060708",
		"a1a2a3a4a5a6a7a8", // token
	}},
	{"care-of test", &CareOfTest{NonceIndex: 0x1234, Cookie: cookie, Token: token}, []string{ // scapy
		"3b 02 04 00 aff7",
		"1234",
		"0102030405060708",
		"a1a2a3a4a5a6a7a8",
	}},
	{"home registration", &BindingUpdate{Sequence: 0x4242, Acknowledge: true, HomeRegistration: true, Lifetime: 600 * time.Second,
		Options: []Option{&AlternateCareOf{careOf}}}, []string{ // scapy
		"3b 03 05 00 2f1a",
		"4242",                                   // sequence
		"c000",                                   // A H
		"0096",                                   // lifetime, 150 * 4 s
		"01 00",                                  // PadN: to 8n+6
		"03 10 20010db8000100000000000000000010", // alternate care-of address
	}},
	{"every flag", &BindingUpdate{Sequence: 1, Acknowledge: true, HomeRegistration: true, LinkLocal: true, KeyManagement: true}, []string{
		"3b 01 05 00 72db",
		"0001",
		"f000",
		"0000",
		"01 02 0000",
	}},
	{"correspondent registration", &BindingUpdate{Sequence: 7, Acknowledge: true, Lifetime: 420 * time.Second,
		Options: []Option{&NonceIndices{3, 4}, &AuthorizationData{auth}}}, []string{
		"3b 03 05 00 b61b",
		"0007",
		"8000",
		"0069",
		"04 04 0003 0004",                // nonce indices
		"05 0c 0102030405060708090a0b0c", // authorization data at 8n+2
	}},
	{"unknown option kept whole", &BindingUpdate{Sequence: 1, Acknowledge: true, Lifetime: 4 * time.Second,
		Options: []Option{&UnknownOption{200, []byte("abc")}}}, []string{ // scapy, but for its padding
		"3b 02 05 00 526c",
		"0001",
		"8000",
		"0001",
		"c8 03 616263",
		"01 05 0000000000",
	}},
	{"acknowledgement", &BindingAcknowledgement{Status: StatusSequenceOutOfWindow, KeyManagement: true, Sequence: 0x4242,
		Lifetime: 600 * time.Second, Options: []Option{&RefreshAdvice{300 * time.Second}}}, []string{ // scapy
		"3b 01 06 00 9639",
		"87", // status 135
		"80", // K
		"4242",
		"0096",
		"02 02 004b",
	}},
	{"authenticated acknowledgement", &BindingAcknowledgement{Sequence: 7, Lifetime: 420 * time.Second,
		Options: []Option{&AuthorizationData{auth}}}, []string{
		"3b 03 06 00 3823",
		"00", "00",
		"0007",
		"0069",
		"01 04 00000000", // PadN: to 8n+2
		"05 0c 0102030405060708090a0b0c",
	}},
	{"binding error", &BindingError{Status: UnknownBinding, Home: home}, []string{ // scapy
		"3b 02 07 00 3313",
		"01", // status
		"00",
		"20010db8000900000000000000000001",
	}},
	// tshark 4.0 decodes Binding Identifiers; of flow options only type and length.
	{"further care-of addresses", &BindingUpdate{Sequence: 0x4242, Acknowledge: true, HomeRegistration: true, Lifetime: 60 * time.Second,
		Options: []Option{&BindingIdentifier{ID: 0x0102, Priority: 127, CareOf: careOf}, &BindingIdentifier{ID: 0x0304, Home: true}}}, []string{
		"3b 05 05 00 e67d",
		"4242", "c000", "000f",
		"01 04 00000000", // PadN: to 8n+2
		"23 14 0102 00 7f 20010db8000100000000000000000010", // BID, status, priority, care-of address
		"23 04 0304 00 80", // H
		"01 00",
	}},
	{"flow binding", &BindingUpdate{Sequence: 0x4242, Acknowledge: true, HomeRegistration: true, Lifetime: 60 * time.Second,
		Options: []Option{
			&BindingIdentifier{ID: 0x0102, Priority: 127},
			&FlowIdentification{ID: 0x0506, Priority: 0x0708, Bindings: []uint16{0x0102}, Selector: &TrafficSelector{
				Source: Only(correspondent), SourcePort: Only(uint16(40000)), DestinationPort: Only(uint16(4000))}},
			&FlowSummary{[]uint16{1, 2, 3}},
		}}, []string{
		"3b 08 05 00 7420",
		"4242", "c000", "000f",
		"23 04 0102 00 7f",
		"2d 26 0506 0708 00 00",                      // FID, priority, reserved, status
		"02 02 0102",                                 // binding reference
		"03 1a 02 00 80a00000",                       // traffic selector: format, flags A I K
		"20010db8000500000000000000000007 9c40 0fa0", // source, ports
		"2c 06 0001 0002 0003",                       // summary
		"01 04 00000000",
	}},
	{"every field of a traffic selector", &BindingUpdate{Sequence: 1, Options: []Option{
		&FlowIdentification{ID: 9, Priority: 1, Bindings: []uint16{1, 2}, Selector: &TrafficSelector{
			Source:      Range[netip.Addr]{netip.MustParseAddr("2001:db8:5::"), netip.MustParseAddr("2001:db8:5::ffff"), Span},
			Destination: Only(home), SPI: Only(uint32(0x01020304)), FlowLabel: Range[uint32]{1, 0xfffff, Span},
			SourcePort: Range[uint16]{1024, 65535, Span}, DestinationPort: Only(uint16(80)),
			TrafficClass: Only(uint8(0xb8)), Protocol: Range[uint8]{6, 17, Span}}}}}, []string{
		"3b 0c 05 00 e82d",
		"0001", "0000", "0000",
		"2d 59 0009 0001 00 00",
		"02 04 0001 0002",
		"03 4b 02 00 ebeb0000",
		"20010db8000500000000000000000000 20010db800050000000000000000ffff",
		"20010db8000900000000000000000001",
		"01020304", "00000001 000fffff",
		"0400 ffff", "0050", "b8", "06 11",
		"00", // Pad1
	}},
	{"partly accepted", &BindingAcknowledgement{Status: StatusMultipleNotComplete, Sequence: 0x4242, Lifetime: 60 * time.Second,
		Options: []Option{
			&BindingIdentifier{ID: 0x0102, Status: StatusMultipleProhibited},
			&FlowIdentification{ID: 0x0506, Priority: 0x0708, Status: FlowUnknownBinding},
		}}, []string{
		"3b 03 06 00 17da",
		"04", "00", "4242", "000f",
		"23 04 0102 a6 00",
		"2d 06 0506 0708 00 83",
		"01 04 00000000",
	}},
}

func wire(tb testing.TB, fields ...string) []byte {
	tb.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(strings.Join(fields, ""), " ", ""))
	if err != nil {
		tb.Fatalf("golden bytes: %v", err)
	}
	return b
}

func TestGoldenMarshal(t *testing.T) {
	for _, tt := range golden {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Marshal(tt.msg, home, correspondent)
			if err != nil {
				t.Fatalf("Marshal: %v", err)
			}
			want := wire(t, tt.wire...)
			if hex.EncodeToString(got) != hex.EncodeToString(want) {
				t.Errorf("Marshal:\n got %x\nwant %x", got, want)
			}
		})
	}
}

func TestGoldenParse(t *testing.T) {
	for _, tt := range golden {
		t.Run(tt.name, func(t *testing.T) {
			b := wire(t, tt.wire...)
			if !VerifyChecksum(b, home, correspondent) {
				t.Errorf("VerifyChecksum is false")
			}
			got, err := Parse(b)
			if err != nil {
				t.Fatalf("Parse: %v", err)
			}
			if d := cmp.Diff(tt.msg, got, compareAddr); d != "" {
				t.Errorf("Parse (-want +got):\n%s", d)
			}
		})
	}
}

// Every golden message cut short at any octet is an error, and so is one whose
// Header Len is made smaller than its contents need.
func TestTruncated(t *testing.T) {
	for _, tt := range golden {
		b := wire(t, tt.wire...)
		for n := range b {
			if m, err := Parse(b[:n]); err == nil {
				t.Errorf("%s: first %d of %d octets parsed as %v", tt.name, n, len(b), m)
			}
			if VerifyChecksum(b[:n], home, correspondent) {
				t.Errorf("%s: first %d of %d octets have a right checksum", tt.name, n, len(b))
			}
		}
	}
}

package nd

import (
	"encoding/hex"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var (
	contact     = netip.MustParseAddr("2001:db8:9::1")
	agent       = netip.MustParseAddr("2001:db8:9::ff")
	compareAddr = cmpopts.EquateComparable(netip.Addr{})
)

// The bytes are what Scapy 2.5 makes of the same values.
var golden = []struct {
	name     string
	src, dst netip.Addr
	m        Message
	wire     []string
}{
	{"duplicate address detection", netip.IPv6Unspecified(), SolicitedNode(contact),
		Message{Target: contact, Nonce: []byte{1, 2, 3, 4, 5, 6}}, []string{
			"87 00 35cf 00000000", // type, code, checksum, reserved
			"20010db8000900000000000000000001",
			"0e 01 010203040506", // nonce
		}},
	{"gratuitous advertisement", agent, AllNodes,
		Message{Advertisement: true, Override: true, Target: contact, LinkLayer: net.HardwareAddr{2, 0, 0, 0, 0, 9}}, []string{
			"88 00 f812 20000000", // O
			"20010db8000900000000000000000001",
			"02 01 020000000009", // target link-layer address
		}},
}

func TestGolden(t *testing.T) {
	for _, tt := range golden {
		t.Run(tt.name, func(t *testing.T) {
			want, err := hex.DecodeString(strings.ReplaceAll(strings.Join(tt.wire, ""), " ", ""))
			if err != nil {
				t.Fatal(err)
			}
			got := tt.m.Marshal(tt.src, tt.dst)
			if hex.EncodeToString(got) != hex.EncodeToString(want) {
				t.Errorf("Marshal:\n got %x\nwant %x", got, want)
			}
			m, err := Parse(want)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(&tt.m, m, compareAddr); d != "" {
				t.Errorf("Parse (-want +got):\n%s", d)
			}
			for n := range want {
				if _, err := Parse(want[:n]); err == nil && n != messageLen {
					t.Errorf("first %d octets parsed", n)
				}
			}
		})
	}
}

func TestSolicitedNode(t *testing.T) {
	if got := SolicitedNode(netip.MustParseAddr("2001:db8::12:3456:789a")); got != netip.MustParseAddr("ff02::1:ff56:789a") {
		t.Errorf("SolicitedNode: %v", got)
	}
}

func FuzzParse(f *testing.F) {
	for _, tt := range golden {
		f.Add(tt.m.Marshal(tt.src, tt.dst))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Parse(b)
		if err != nil {
			return
		}
		again, err := Parse(m.Marshal(contact, agent))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(m, again, compareAddr); d != "" {
			t.Errorf("round trip (-first +again):\n%s", d)
		}
	})
}

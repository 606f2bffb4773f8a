package nd

import (
	"encoding/hex"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/vanycast/vanycast/mipv6"
)

var comparePrefix = cmpopts.EquateComparable(netip.Prefix{})

var linkLocal = netip.MustParseAddr("fe80::ff")

// The bytes are what Scapy 2.5 makes of the same values, but for the checksums.
var goldenRouter = []struct {
	name string
	m    RouterAdvertisement
	wire []string
}{
	{"home agent", RouterAdvertisement{
		HomeAgent: true, Lifetime: 1800 * time.Second, LinkLayer: net.HardwareAddr{2, 0, 0, 0, 0, 9},
		Prefixes: []PrefixInformation{{
			Prefix: netip.MustParsePrefix("2001:db8:9::ff/64"), OnLink: true, Autonomous: true, RouterAddress: true,
			Valid: 86400 * time.Second, Preferred: 14400 * time.Second,
		}},
		Agent: &HomeAgentInformation{Preference: 10, Lifetime: 900 * time.Second},
	}, []string{
		"86 00 ____ 00 20 0708 00000000 00000000", // H, router lifetime
		"01 01 020000000009",
		"03 04 40 e0 00015180 00003840 00000000 20010db80009000000000000000000ff",
		"08 01 0000 000a 0384",
	}},
	{"it ends", RouterAdvertisement{}, []string{"86 00 ____ 00 00 0000 00000000 00000000"}},
	{"prefix for ever", RouterAdvertisement{Prefixes: []PrefixInformation{{
		Prefix: netip.MustParsePrefix("2001:db8:9::/64"), OnLink: true, Valid: Infinity, Preferred: Infinity,
	}}}, []string{
		"86 00 ____ 00 00 0000 00000000 00000000",
		"03 04 40 80 ffffffff ffffffff 00000000 20010db8000900000000000000000000",
	}},
}

func TestRouterAdvertisement(t *testing.T) {
	for _, tt := range goldenRouter {
		t.Run(tt.name, func(t *testing.T) {
			got := tt.m.Marshal(linkLocal, AllNodes)
			if mipv6.Checksum(got, Protocol, linkLocal, AllNodes) != 0 {
				t.Errorf("wrong checksum in %x", got)
			}
			text := strings.ReplaceAll(strings.Join(tt.wire, ""), " ", "")
			text = strings.Replace(text, "____", hex.EncodeToString(got[2:4]), 1)
			if hex.EncodeToString(got) != text {
				t.Errorf("Marshal:\n got %x\nwant %s", got, text)
			}
			m, err := ParseRouterAdvertisement(got)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(&tt.m, m, compareAddr, comparePrefix); d != "" {
				t.Errorf("Parse (-want +got):\n%s", d)
			}
			for n := range got {
				whole := n == routerAdvertisementLen || (n-routerAdvertisementLen)%optionUnit == 0 && n > routerAdvertisementLen
				if _, err := ParseRouterAdvertisement(got[:n]); err == nil && !whole {
					t.Errorf("first %d octets parsed", n)
				}
			}
		})
	}
}

func TestPrefixInformationInvalid(t *testing.T) {
	m := RouterAdvertisement{Prefixes: []PrefixInformation{{Prefix: netip.MustParsePrefix("2001:db8:9::/64"), Valid: time.Second, Preferred: time.Second}}}
	for name, spoil := range map[string]func(o []byte){
		"longer than an address":       func(o []byte) { o[2] = 129 },
		"preferred longer than valid":  func(o []byte) { o[8] = 1 },
		"an option of another length":  func(o []byte) { o[1] = 3 },
		"an option that is not a unit": func(o []byte) { o[1] = 0 },
	} {
		b := m.Marshal(linkLocal, AllNodes)
		spoil(b[routerAdvertisementLen:])
		if got, err := ParseRouterAdvertisement(b); err == nil && len(got.Prefixes) > 0 {
			t.Errorf("%s: %+v", name, got.Prefixes)
		}
	}
}

func TestIsRouterSolicitation(t *testing.T) {
	for text, want := range map[string]bool{
		"8500000000000000":                 true,
		"85000000000000000101020000000009": true,
		"85000000000000000100020000000009": false,
		"8501000000000000":                 false,
		"85000000000000":                   false,
		"8600000000000000":                 false,
	} {
		b, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := IsRouterSolicitation(b); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

// RFC 2526 §3: its own examples' shape for 64 bit interface identifiers, and for
// others.
func TestHomeAgentsAnycast(t *testing.T) {
	for prefix, want := range map[string]string{
		"2001:db8:9::/64":  "2001:db8:9:0:fdff:ffff:ffff:fffe",
		"2001:db8:9::/48":  "2001:db8:9:ffff:ffff:ffff:ffff:fffe",
		"2001:db8:9::/96":  "2001:db8:9::ffff:fffe",
		"2001:db8:9::/100": "2001:db8:9::fff:fffe",
		"2001:db8:9::/121": "2001:db8:9::7e",
	} {
		got, ok := HomeAgentsAnycast(netip.MustParsePrefix(prefix))
		if !ok || got != netip.MustParseAddr(want) {
			t.Errorf("%s: %v, want %s", prefix, got, want)
		}
	}
	if a, ok := HomeAgentsAnycast(netip.MustParsePrefix("2001:db8:9::/122")); ok {
		t.Errorf("122 bits: %v", a)
	}
}

func TestQuery(t *testing.T) {
	for _, tt := range []struct {
		wire string
		want Query
		ok   bool
	}{
		{"9000000012340000", Query{TypeHomeAgentRequest, 0x1234}, true},
		{"900000001234ffff", Query{TypeHomeAgentRequest, 0x1234}, true}, // reserved
		{"9200000000070000", Query{TypePrefixSolicitation, 7}, true},
		{"9200000000070000ff", Query{TypePrefixSolicitation, 7}, true}, // later extensions
		{"91000000123400", Query{}, false},
		{"9100000012340000", Query{}, false},
		{"9001000012340000", Query{}, false},
	} {
		b, err := hex.DecodeString(tt.wire)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ParseQuery(b); (err == nil) != tt.ok || got != tt.want {
			t.Errorf("%s: %+v, %v", tt.wire, got, err)
		}
	}
}

func TestAnswers(t *testing.T) {
	many := make([]netip.Addr, 100)
	for i := range many {
		many[i] = agent
	}
	b := HomeAgentReply(0x1234, many, agent, contact)
	if len(b) > minimumMTU-headerLen || len(b) != queryLen+MaxHomeAgents*addressLen {
		t.Errorf("a reply of %d octets", len(b))
	}
	if mipv6.Checksum(b, Protocol, agent, contact) != 0 || b[0] != TypeHomeAgentReply || b[4] != 0x12 || b[5] != 0x34 {
		t.Errorf("reply %x", b[:queryLen])
	}
	p := PrefixAdvertisement(7, []PrefixInformation{{Prefix: netip.MustParsePrefix("2001:db8:9::ff/64"), RouterAddress: true, Valid: Infinity}}, agent, contact)
	o, err := parseOptions(p[queryLen:])
	if err != nil || len(o.prefixes) != 1 || !o.prefixes[0].RouterAddress || o.prefixes[0].Prefix.Addr() != agent {
		t.Errorf("advertisement %x: %+v, %v", p, o, err)
	}
	if mipv6.Checksum(p, Protocol, agent, contact) != 0 || p[0] != TypePrefixAdvertisement {
		t.Errorf("advertisement %x", p)
	}
}

func FuzzParseRouterAdvertisement(f *testing.F) {
	for _, tt := range goldenRouter {
		f.Add(tt.m.Marshal(linkLocal, AllNodes))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		IsRouterSolicitation(b)
		_, _ = ParseQuery(b)
		m, err := ParseRouterAdvertisement(b)
		if err != nil {
			return
		}
		again, err := ParseRouterAdvertisement(m.Marshal(linkLocal, AllNodes))
		if err != nil {
			t.Fatal(err)
		}
		// Bits beyond a prefix's length go, unless they are the router's address.
		for i, p := range m.Prefixes {
			if !p.RouterAddress {
				m.Prefixes[i].Prefix = p.Prefix.Masked()
			}
		}
		if d := cmp.Diff(m, again, compareAddr, comparePrefix); d != "" {
			t.Errorf("round trip (-first +again):\n%s", d)
		}
	})
}

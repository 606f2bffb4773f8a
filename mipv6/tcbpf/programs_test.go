package tcbpf

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"
	"github.com/vishvananda/netlink"

	"github.com/vanycast/vanycast/mipv6/dataplane"
)

// The programs alone, run by the kernel on single packets (BPF_PROG_TEST_RUN).

// Verdicts, as bpf/abi.h has them.
const (
	pass = 0xffffffff
	drop = 2
)

// Addresses of the table below, as they stand in its hexadecimal packets.
const (
	h1 = "20010db8000900000000000000000001" // contact address, or home address
	h2 = "20010db8000900000000000000000002" // not declared
	c1 = "20010db8000100000000000000000010" // its care-of address
	ha = "20010db80009000000000000000000ff" // home agent
	cn = "20010db8000a00000000000000000010" // client
	cx = "20010db8000b00000000000000000010" // another client
)

func hexAddr(s string) netip.Addr {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return netip.AddrFrom16([16]byte(b))
}

// newPrograms loads the programs for an Ethernet link.
func newPrograms(t testing.TB) *programs {
	t.Helper()
	if err := rlimit.RemoveMemlock(); err != nil {
		t.Fatal(err)
	}
	link := &netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Name: "test", Index: 1, EncapType: "ether"}}
	p, err := load(Config{}.withDefaults(), link, 7)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// empty takes everything out of the maps.
func empty(t testing.TB, p *programs) {
	t.Helper()
	for _, m := range []*ebpf.Map{p.Contacts, p.Routes, p.Bindings, p.Tunnels, p.Locals, p.Relays} {
		var key, value []byte
		for entries := m.Iterate(); entries.Next(&key, &value); entries = m.Iterate() {
			check(t, m.Delete(key))
		}
	}
}

// mobileNode declares h1 here: cn's flow is of this kind.
func mobileNode(t testing.TB, p *programs, kind dataplane.RouteKind) {
	t.Helper()
	check(t,
		put(p.Contacts, mapAddress(hexAddr(h1)), mapContact{CareOf: mapAddress(hexAddr(c1)), HomeAgent: mapAddress(hexAddr(ha))}),
		put(p.Routes, flowKey(dataplane.Flow{Home: hexAddr(h1), Client: hexAddr(cn)}), mapRoute{Kind: uint8(kind)}))
}

// correspondent declares that we are cn and have a binding for h1.
func correspondent(t testing.TB, p *programs) {
	t.Helper()
	check(t, put(p.Bindings, mapPair{mapAddress(hexAddr(cn)), mapAddress(hexAddr(h1))}, mapBinding{CareOf: mapAddress(hexAddr(c1))}),
		put(p.Locals, mapAddress(hexAddr(cn)), uint32(1)))
}

func check(t testing.TB, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

const ethernet = "000000000000" + "020000000002" + "86dd"

// packet is a frame from the hexadecimal of an IPv6 packet.
func packet(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(ethernet + strings.NewReplacer(" ", "", "\n", "", "\t", "").Replace(s))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// run runs one program on a frame.
func run(t testing.TB, prog *ebpf.Program, frame []byte) (verdict uint32, out []byte) {
	t.Helper()
	verdict, out, err := prog.Test(frame)
	if err != nil {
		t.Fatalf("%v on %x: %v", prog, frame, err)
	}
	return verdict, out
}

// base is an IPv6 header with hop limit 64; length and next header are
// hexadecimal.
func base(length, next, src, dst string) string { return "60012345" + length + next + "40" + src + dst }

const (
	udp8 = "1122000900081234" // a whole datagram without data
	// The extension headers that we make: %s is the next header.
	hao = "0201020000c910" + h1
	rh2 = "02020100000000" + h1
	mh  = "3b00010000000000" // a Mobility Header, as far as the programs care
)

func TestPrograms(t *testing.T) {
	mobile := func(kind dataplane.RouteKind) func(testing.TB, *programs) {
		return func(t testing.TB, p *programs) { mobileNode(t, p, kind) }
	}
	agent := func(t testing.TB, p *programs) {
		check(t, put(p.Tunnels, mapAddress(hexAddr(h1)), mapTunnel{CareOf: mapAddress(hexAddr(c1)), HomeAgent: mapAddress(hexAddr(ha))}))
	}
	p := newPrograms(t)
	const same = "same"
	outer := "60012345"
	for _, c := range []struct {
		name    string
		setup   func(testing.TB, *programs)
		egress  bool
		in      string
		verdict uint32
		out     string // of a packet that passes
	}{
		{"not ours passes", mobile(dataplane.Tunnelled), true, base("0008", "11", c1, cn) + udp8, pass, same},

		// The mobile node sends.
		{"tunnelled", mobile(dataplane.Tunnelled), true, base("0008", "11", h1, cn) + udp8, pass,
			outer + "0030" + "29" + "40" + c1 + ha + base("0008", "11", h1, cn) + udp8},
		{"no route is the tunnel", mobile(dataplane.Optimised), true, base("0008", "11", h1, cx) + udp8, pass,
			outer + "0030" + "29" + "40" + c1 + ha + base("0008", "11", h1, cx) + udp8},
		{"optimised", mobile(dataplane.Optimised), true, base("0008", "11", h1, cn) + udp8, pass,
			base("0020", "3c", c1, cn) + "11" + hao + udp8},
		{"optimised fragment", mobile(dataplane.Optimised), true, base("0010", "2c", h1, cn) + "1100000100000007" + udp8, pass,
			base("0028", "3c", c1, cn) + "2c" + hao + "1100000100000007" + udp8},
		{"optimised, hop-by-hop first: the tunnel", mobile(dataplane.Optimised), true, base("0010", "00", h1, cn) + "1100050200000100" + udp8, pass,
			outer + "0038" + "29" + "40" + c1 + ha + base("0010", "00", h1, cn) + "1100050200000100" + udp8},
		{"Mobility Header: the tunnel", mobile(dataplane.Optimised), true, base("0008", "87", h1, cn) + mh, pass,
			outer + "0030" + "29" + "40" + c1 + ha + base("0008", "87", h1, cn) + mh},
		{"Mobility Header behind options: the tunnel", mobile(dataplane.Held), true, base("0010", "3c", h1, cn) + "8700010400000000" + mh, pass,
			outer + "0038" + "29" + "40" + c1 + ha + base("0010", "3c", h1, cn) + "8700010400000000" + mh},
		{"held", mobile(dataplane.Held), true, base("0008", "11", h1, cn) + udp8, drop, ""},
		{"to multicast", mobile(dataplane.Tunnelled), true, base("0008", "11", h1, "ff0e0000000000000000000000000001") + udp8, drop, ""},
		{"to link-local", mobile(dataplane.Tunnelled), true, base("0008", "11", h1, "fe800000000000000000000000000001") + udp8, drop, ""},
		{"neighbour solicitation", mobile(dataplane.Tunnelled), true, base("0018", "3a", h1, cn) + "8700000000000000" + cn, drop, ""},

		// The mobile node receives.
		{"routing header", mobile(dataplane.Optimised), false, base("0020", "2b", cn, c1) + "11" + rh2 + udp8, pass, base("0008", "11", cn, h1) + udp8},
		{"routing header behind hop-by-hop", mobile(dataplane.Optimised), false,
			base("0028", "00", cn, c1) + "2b00050200000100" + "11" + rh2 + udp8, pass, base("0010", "00", cn, h1) + "1100050200000100" + udp8},
		{"routing header behind 24 bytes of options", mobile(dataplane.Optimised), false,
			base("0038", "3c", cn, c1) + "2b02" + "0114" + strings.Repeat("00", 20) + "11" + rh2 + udp8, pass,
			base("0020", "3c", cn, h1) + "1102" + "0114" + strings.Repeat("00", 20) + udp8},
		{"routing header, held", mobile(dataplane.Held), false, base("0020", "2b", cn, c1) + "11" + rh2 + udp8, drop, ""},
		{"routing header, held, Mobility Header", mobile(dataplane.Held), false, base("0020", "2b", cn, c1) + "87" + rh2 + mh, pass, base("0008", "87", cn, h1) + mh},
		{"routing header to another address of ours", mobile(dataplane.Optimised), false, base("0020", "2b", cn, cx) + "11" + rh2 + udp8, pass, same},
		{"routing header with another home", mobile(dataplane.Optimised), false, base("0020", "2b", cn, c1) + "1102020100000000" + h2 + udp8, pass, same},
		{"routing header type 0", mobile(dataplane.Optimised), false, base("0020", "2b", cn, c1) + "1102000100000000" + h1 + udp8, pass, same},
		{"routing header, no segments left", mobile(dataplane.Optimised), false, base("0020", "2b", cn, c1) + "1102020000000000" + h1 + udp8, pass, same},
		{"routing header, cut off", mobile(dataplane.Optimised), false, base("0010", "2b", cn, c1) + "1102020100000000" + "20010db800090000", pass, same},
		{"tunnel", mobile(dataplane.Tunnelled), false, base("0030", "29", ha, c1) + base("0008", "11", cn, h1) + udp8, pass, base("0008", "11", cn, h1) + udp8},
		{"tunnel with an encapsulation limit", mobile(dataplane.Tunnelled), false,
			base("0038", "3c", ha, c1) + "2900040104010100" + base("0008", "11", cn, h1) + udp8, pass, base("0008", "11", cn, h1) + udp8},
		{"tunnel, held", mobile(dataplane.Held), false, base("0030", "29", ha, c1) + base("0008", "11", cn, h1) + udp8, drop, ""},
		{"tunnel, held, Mobility Header", mobile(dataplane.Held), false, base("0030", "29", ha, c1) + base("0008", "87", cn, h1) + mh, pass, base("0008", "87", cn, h1) + mh},
		{"tunnel from a stranger", mobile(dataplane.Tunnelled), false, base("0030", "29", cx, c1) + base("0008", "11", cn, h1) + udp8, drop, ""},
		{"tunnel to another address of ours", mobile(dataplane.Tunnelled), false, base("0030", "29", ha, cx) + base("0008", "11", cn, h1) + udp8, drop, ""},
		{"tunnel to another home", mobile(dataplane.Tunnelled), false, base("0030", "29", ha, c1) + base("0008", "11", cn, h2) + udp8, pass, same},
		{"tunnel of IPv4", mobile(dataplane.Tunnelled), false, base("0030", "29", ha, c1) + "4" + base("0008", "11", cn, h1)[1:] + udp8, pass, same},
		{"tunnel, congestion was met", mobile(dataplane.Tunnelled), false,
			"60312345" + "0030" + "29" + "40" + ha + c1 + "60212345" + base("0008", "11", cn, h1)[8:] + udp8, pass, "60312345" + base("0008", "11", cn, h1)[8:] + udp8},
		{"tunnel, congestion was met, inner cannot say", mobile(dataplane.Tunnelled), false,
			"60312345" + "0030" + "29" + "40" + ha + c1 + "60012345" + base("0008", "11", cn, h1)[8:] + udp8, drop, ""},
		{"native", mobile(dataplane.Optimised), false, base("0008", "11", cn, h1) + udp8, drop, ""},

		// The correspondent sends.
		{"to a bound home address", correspondent, true, base("0008", "11", cn, h1) + udp8, pass, base("0020", "2b", cn, c1) + "11" + rh2 + udp8},
		{"to a bound home address, hop-by-hop first", correspondent, true, base("0010", "00", cn, h1) + "1100050200000100" + udp8, pass,
			base("0028", "00", cn, c1) + "2b00050200000100" + "11" + rh2 + udp8},
		{"from another address", correspondent, true, base("0008", "11", cx, h1) + udp8, pass, same},
		{"Mobility Header to a bound home address", correspondent, true, base("0008", "87", cn, h1) + mh, pass, same},
		{"source route to a bound home address", correspondent, true, base("0020", "2b", cn, h1) + "1102040100000000" + cx + udp8, pass, same},

		// The correspondent receives.
		{"home address option", correspondent, false, base("0020", "3c", c1, cn) + "11" + hao + udp8, pass, base("0008", "11", h1, cn) + udp8},
		{"home address option behind hop-by-hop", correspondent, false, base("0028", "00", c1, cn) + "3c00050200000100" + "11" + hao + udp8, pass,
			base("0010", "00", h1, cn) + "1100050200000100" + udp8},
		{"home address option before a fragment", correspondent, false, base("0028", "3c", c1, cn) + "2c" + hao + "1100000100000007" + udp8, pass,
			base("0010", "2c", h1, cn) + "1100000100000007" + udp8},
		{"home address option among others", correspondent, false, base("0028", "3c", c1, cn) + "110301020000c910" + h1 + "0106000000000000" + udp8, pass,
			base("0028", "3c", h1, cn) + "1103010200001e10" + c1 + "0106000000000000" + udp8},
		{"home address option, Mobility Header", correspondent, false, base("0020", "3c", cx, cn) + "87" + strings.Replace(hao, h1, h2, 1) + mh, pass,
			base("0020", "3c", h2, cn) + "870201020000" + "1e10" + cx + mh},
		{"home address option, no binding", correspondent, false, base("0020", "3c", c1, cn) + "11" + strings.Replace(hao, h1, h2, 1) + udp8, drop, ""},
		{"home address option, another care-of address", correspondent, false, base("0020", "3c", cx, cn) + "11" + hao + udp8, drop, ""},
		{"home address option, multicast", correspondent, false, base("0020", "3c", c1, cn) + "87" + strings.Replace(hao, h1, "ff020000000000000000000000000001", 1) + mh, drop, ""},
		{"home address option, link-local", correspondent, false, base("0020", "3c", c1, cn) + "87" + strings.Replace(hao, h1, "fe800000000000000000000000000001", 1) + mh, drop, ""},
		{"home address option on its way through us", correspondent, false, base("0020", "3c", c1, cx) + "11" + hao + udp8, pass, same},
		{"two home address options", correspondent, false, base("0038", "3c", c1, cn) + "110501020000c910" + h1 + "010400000000c910" + h1 + udp8, pass, same},
		{"home address option of wrong length", correspondent, false, base("0020", "3c", c1, cn) + "110201020000c90f" + h1 + udp8, pass, same},
		{"option longer than its header", correspondent, false, base("0020", "3c", c1, cn) + "110201020000c911" + h1 + udp8, pass, same},
		{"options cut off", correspondent, false, base("0008", "3c", c1, cn) + "110201020000c910", pass, same},

		// The home agent.
		{"to a registered home address", agent, true, base("0008", "11", cn, h1) + udp8, pass,
			outer + "0030" + "29" + "40" + ha + c1 + base("0008", "11", cn, h1) + udp8},
		{"Mobility Header to a registered home address", agent, true, base("0008", "87", cn, h1) + mh, pass,
			outer + "0030" + "29" + "40" + ha + c1 + base("0008", "87", cn, h1) + mh},
		{"from link-local to a registered home address", agent, true, base("0008", "11", "fe800000000000000000000000000001", h1) + udp8, drop, ""},
		{"reverse tunnel", agent, false, base("0030", "29", c1, ha) + base("0008", "11", h1, cn) + udp8, pass, base("0008", "11", h1, cn) + udp8},
		{"reverse tunnel from elsewhere", agent, false, base("0030", "29", cx, ha) + base("0008", "11", h1, cn) + udp8, pass, same},
		{"reverse tunnel of another source", agent, false, base("0030", "29", c1, ha) + base("0008", "11", h2, cn) + udp8, pass, same},
		{"reverse tunnel to another address of ours", agent, false, base("0030", "29", c1, cx) + base("0008", "11", h1, cn) + udp8, pass, same},
	} {
		t.Run(c.name, func(t *testing.T) {
			empty(t, p)
			c.setup(t, p)
			prog := p.VanycastIngress
			if c.egress {
				prog = p.VanycastEgress
			}
			in := packet(t, c.in)
			verdict, out := run(t, prog, in)
			if verdict != c.verdict {
				t.Fatalf("verdict %#x, want %#x", verdict, c.verdict)
			}
			if verdict == drop {
				return
			}
			want := in
			if c.out != same {
				want = packet(t, c.out)
			}
			if !bytes.Equal(out, want) {
				t.Errorf("out  %x\nwant %x", out[14:], want[14:])
			}
		})
	}
}

package tcbpf

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/vanycast/vanycast/mipv6/dataplane"
)

// What was kept comes back: what came is delivered or goes to the peer, what the
// peer sent goes on, as the flow's route says now. Neither is ever kept again.
func TestProgramsRelease(t *testing.T) {
	const ethernet = 14 // what the kernel's test runs have
	link := &netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Name: "test", EncapType: "ether", Index: 1}}
	p := newPrograms(t)
	var more keeperPrograms
	check(t, loadMore(&more, Config{}.withDefaults(), link, ethernet, 7, p))
	defer more.Close()

	peer := hexAddr(pe)
	all := dataplane.Flow{Home: hexAddr(h1), Client: hexAddr(cn)}
	out := dataplane.Flow{Home: hexAddr(h1), Client: hexAddr(cn), HomePort: 0x1122, ClientPort: 9}
	tunnel := func(src, dst, inner string) string {
		return "60012345" + "00" + hex.EncodeToString([]byte{byte(len(inner) / 2)}) + "2940" + src + dst + inner
	}
	const same = "same"
	// What was sent lost its hop when it was kept.
	came, went := base("0008", "11", cn, h1)+udp8, base63("0008", "11", h1, cn)+udp8
	hopFirst := base63("0010", "00", h1, cn) + "1100050200000100" + udp8
	route := func(r dataplane.Route) func(testing.TB, *programs) { return declared(all, r) }
	to := func(via dataplane.RouteKind) dataplane.Route {
		return dataplane.Route{Kind: dataplane.RelayTo, Peer: peer, Via: via}
	}
	onward := to(dataplane.Relayed)
	onward.From = hexAddr(cx)
	paused := to(dataplane.Optimised)
	paused.Pause = true
	for _, c := range []struct {
		name    string
		setup   func(testing.TB, *programs)
		in      string
		verdict uint32
		out     string
	}{
		{"delivered", route(dataplane.Route{Kind: dataplane.Optimised}), came, pass, same},
		{"delivered, no route", declared(dataplane.Flow{}, dataplane.Route{}), came, pass, same},
		{"to the peer", route(to(dataplane.Optimised)), came, redirected, tunnel(c1, pe, base63("0008", "11", cn, h1)+udp8)},
		{"held", route(dataplane.Route{Kind: dataplane.Held, Keep: true}), came, drop, ""},

		{"sent on, optimised", route(to(dataplane.Optimised)), went, redirected, base63("0020", "3c", c1, cn) + "11" + hao + udp8},
		{"sent on, optimised, hop-by-hop first", route(to(dataplane.Optimised)), hopFirst, redirected, tunnel(c1, ha, hopFirst)},
		{"sent on, tunnelled", route(to(dataplane.Tunnelled)), went, redirected, tunnel(c1, ha, went)},
		{"sent on, direct", route(to(dataplane.Direct)), went, redirected, same},
		{"sent on, to the relay", route(onward), went, redirected, tunnel(c1, cx, went)},
		{"sent on, of a connection", declared(out, to(dataplane.Tunnelled)), went, redirected, tunnel(c1, ha, went)},
		{"sent on, of another connection", declared(out, to(dataplane.Tunnelled)), base63("0008", "11", h1, cn) + "1123000900081234", drop, ""},
		{"still paused", route(paused), went, redirected, base63("0020", "3c", c1, cn) + "11" + hao + udp8},
		{"sent, no route", declared(dataplane.Flow{}, dataplane.Route{}), went, drop, ""},
		{"sent, held", route(dataplane.Route{Kind: dataplane.Held}), went, drop, ""},
		{"our own, optimised", route(dataplane.Route{Kind: dataplane.Optimised, Peer: peer}), went, redirected, base63("0020", "3c", c1, cn) + "11" + hao + udp8},
		{"our own, optimised, hop-by-hop first", route(dataplane.Route{Kind: dataplane.Optimised}), hopFirst, redirected, tunnel(c1, ha, hopFirst)},
		{"our own, tunnelled", route(dataplane.Route{Kind: dataplane.Tunnelled, Peer: peer}), went, redirected, tunnel(c1, ha, went)},
		{"our own, relayed", route(dataplane.Route{Kind: dataplane.Relayed, Peer: peer}), went, redirected, tunnel(c1, pe, went)},
		{"our own, direct", route(dataplane.Route{Kind: dataplane.Direct, Peer: peer}), went, redirected, same},
		{"of nobody", route(to(dataplane.Optimised)), base63("0008", "11", h2, cn) + udp8, drop, ""},
		{"contact gone", func(t testing.TB, p *programs) {
			check(t, put(p.Contacts, mapAddress(hexAddr(h1)), mapContact{CareOf: mapAddress(hexAddr(c1)), Gone: 1}))
		}, went, drop, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			empty(t, p)
			c.setup(t, p)
			in := packet(t, c.in)
			verdict, got := run(t, more.VanycastRelease, in)
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
			if !bytes.Equal(got, want) {
				t.Errorf("out  %x\nwant %x", got[14:], want[14:])
			}
		})
	}
}

package tcbpf

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/cilium/ebpf/rlimit"
	"github.com/vishvananda/netlink"

	"github.com/vanycast/vanycast/mipv6/dataplane"
)

// Beside the kernel's own Mobile IPv6 what the kernel does is left to it, byte for
// byte, and the rest is as without it.
func TestProgramsBeside(t *testing.T) {
	check(t, rlimit.RemoveMemlock())
	cfg := Config{beside: true, IgnoreHomeAddress: true}.withDefaults()
	link := &netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Name: "test", EncapType: "ether", Index: 1}}
	p, err := load(cfg, link, 7)
	check(t, err)
	defer p.Close()
	var more besidePrograms
	const ethernet = 14 // what the kernel's test runs have
	check(t, loadMore(&more, cfg, link, ethernet, 7, p))
	defer more.Close()

	peer := hexAddr(pe)
	all := dataplane.Flow{Home: hexAddr(h1), Client: hexAddr(cn)}
	out := dataplane.Flow{Home: hexAddr(h1), Client: hexAddr(cn), HomePort: 0x1122, ClientPort: 9}
	tunnel := func(src, dst, inner string) string {
		return "60012345" + "00" + hex.EncodeToString([]byte{byte(len(inner) / 2)}) + "2940" + src + dst + inner
	}
	const same = "same"
	fromClient, fromContact := base("0008", "11", cn, h1)+udp8, base("0008", "11", h1, cn)+udp8
	routed := base("0020", "2b", cn, c1) + "11" + rh2 + udp8
	route := func(r dataplane.Route) func(testing.TB, *programs) { return declared(all, r) }
	kinds := func(k dataplane.RouteKind) func(testing.TB, *programs) { return route(dataplane.Route{Kind: k}) }
	for _, c := range []struct {
		name    string
		setup   func(testing.TB, *programs)
		mouth   bool
		in      string
		verdict uint32
		out     string
	}{
		{"tunnel", kinds(dataplane.Tunnelled), false, tunnel(ha, c1, fromClient), pass, same},
		{"tunnel, held", kinds(dataplane.Held), false, tunnel(ha, c1, fromClient), drop, ""},
		{"tunnel, kept", route(dataplane.Route{Kind: dataplane.Held, Keep: true}), false, tunnel(ha, c1, fromClient), redirected, fromClient},
		{"tunnel, relayed on", route(dataplane.Route{Kind: dataplane.RelayTo, Peer: peer}), false, tunnel(ha, c1, fromClient), redirected,
			tunnel(c1, pe, base63("0008", "11", cn, h1)+udp8)},
		{"tunnel of a peer", route(dataplane.Route{Kind: dataplane.Relayed, Peer: peer}), false, tunnel(pe, c1, fromClient), pass, fromClient},
		{"tunnel of a former peer", route(dataplane.Route{Kind: dataplane.Optimised, From: peer}), false, tunnel(pe, c1, fromClient), pass, fromClient},
		{"tunnel of a relay", route(dataplane.Route{Kind: dataplane.Optimised, Peer: peer}), false, tunnel(pe, c1, fromClient), pass, fromClient},
		{"tunnel of a peer, paused", route(dataplane.Route{Kind: dataplane.RelayTo, Peer: peer, Pause: true}), false, tunnel(pe, c1, fromContact), redirected,
			base63("0008", "11", h1, cn) + udp8},
		{"routing header", kinds(dataplane.Optimised), false, routed, pass, same},
		{"routing header of nobody's flow", declared(dataplane.Flow{}, dataplane.Route{}), false, routed, pass, same},
		{"routing header, relayed flow", route(dataplane.Route{Kind: dataplane.Relayed, Peer: peer}), false, routed, pass, fromClient},
		{"routing header, kept", route(dataplane.Route{Kind: dataplane.Held, Keep: true}), false, routed, redirected, fromClient},
		{"routing header, relayed on", route(dataplane.Route{Kind: dataplane.RelayTo, Peer: peer}), false, routed, redirected,
			tunnel(c1, pe, base63("0008", "11", cn, h1)+udp8)},
		{"home address option", kinds(dataplane.Optimised), false, base("0020", "3c", c1, cn) + "11" + hao + udp8, pass, same},
		{"native", kinds(dataplane.Optimised), false, fromClient, drop, ""},

		{"out", declared(dataplane.Flow{}, dataplane.Route{}), true, fromContact, pass, same},
		{"out, tunnelled", kinds(dataplane.Tunnelled), true, fromContact, pass, same},
		{"out, optimised", kinds(dataplane.Optimised), true, fromContact, pass, same},
		{"out, held", kinds(dataplane.Held), true, fromContact, drop, ""},
		{"out, held, Mobility Header", kinds(dataplane.Held), true, base("0008", "87", h1, cn) + mh, pass, same},
		{"out, served elsewhere", route(dataplane.Route{Kind: dataplane.RelayTo, Peer: peer}), true, fromContact, drop, ""},
		{"out, relayed", route(dataplane.Route{Kind: dataplane.Relayed, Peer: peer}), true, fromContact, redirected, tunnel(c1, pe, fromContact)},
		{"out, direct", kinds(dataplane.Direct), true, fromContact, redirected, same},
		{"out, connection relayed", declared(out, dataplane.Route{Kind: dataplane.Relayed, Peer: peer}), true, fromContact, redirected, tunnel(c1, pe, fromContact)},
		{"out, of another source", kinds(dataplane.Held), true, base("0008", "11", c1, cn) + udp8, pass, same},
	} {
		t.Run(c.name, func(t *testing.T) {
			empty(t, p)
			c.setup(t, p)
			prog := p.VanycastIngress
			if c.mouth {
				prog = more.VanycastMouth
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
	if verdict, _ := run(t, more.VanycastLeave, packet(t, fromContact)); verdict != pass {
		t.Errorf("not sent on: verdict %#x", verdict)
	}
}

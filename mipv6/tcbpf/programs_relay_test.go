package tcbpf

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"testing"

	"github.com/vanycast/vanycast/mipv6/dataplane"
)

const (
	redirected = 7
	pe         = "20010db8000200000000000000000020" // the other replica
	cl         = "20010db8000c00000000000000000010" // a client of its own
)

// base63 is base after one hop.
func base63(length, next, src, dst string) string {
	return "60012345" + length + next + "3f" + src + dst
}

// declared puts h1 and one flow of it into the maps.
func declared(f dataplane.Flow, r dataplane.Route, steer ...uint16) func(testing.TB, *programs) {
	return func(t testing.TB, p *programs) {
		t.Helper()
		contact := mapContact{CareOf: mapAddress(hexAddr(c1)), HomeAgent: mapAddress(hexAddr(ha)), Room: 1460}
		if f.IsConnection() {
			contact.Connections = 1
		}
		for i, port := range steer {
			contact.Steer[i] = networkOrder(port)
		}
		check(t, put(p.Contacts, mapAddress(hexAddr(h1)), contact))
		if !f.Home.IsValid() {
			return
		}
		state := flow{Route: r, toKeeper: whatIsKept(r)}
		check(t, put(p.Routes, flowKey(f), state.wanted(0)))
	}
}

func setSteering(t testing.TB, p *programs, taken, allowed uint64) {
	t.Helper()
	var b [16]byte
	binary.NativeEndian.PutUint64(b[:], taken)
	binary.NativeEndian.PutUint64(b[8:], allowed)
	check(t, p.Steering.Put(uint32(0), b[:]))
}

// What other replicas relay, and what is relayed to them: with the addresses of
// the table of packets, pe being the peer.
func TestProgramsRelay(t *testing.T) {
	peer, client := hexAddr(pe), hexAddr(cn)
	all := dataplane.Flow{Home: hexAddr(h1), Client: client}
	in := dataplane.Flow{Home: hexAddr(h1), Client: client, HomePort: 9, ClientPort: 0x1122}
	out := dataplane.Flow{Home: hexAddr(h1), Client: client, HomePort: 0x1122, ClientPort: 9}
	relayTo := func(via dataplane.RouteKind) func(testing.TB, *programs) {
		return declared(all, dataplane.Route{Kind: dataplane.RelayTo, Peer: peer, Via: via})
	}
	returned := declared(all, dataplane.Route{Kind: dataplane.RelayTo, Peer: peer, From: peer, Keep: true})
	handedOn := declared(all, dataplane.Route{Kind: dataplane.RelayTo, Peer: peer, From: hexAddr(cx)})
	chain := declared(all, dataplane.Route{Kind: dataplane.RelayTo, Peer: peer, Via: dataplane.Relayed, From: hexAddr(cx)})
	relayed := declared(all, dataplane.Route{Kind: dataplane.Relayed, Peer: peer})
	paused := declared(all, dataplane.Route{Kind: dataplane.RelayTo, Peer: peer, Via: dataplane.Optimised, From: hexAddr(cx), Pause: true})
	tunnel := func(src, dst, inner string) string {
		length := len(inner) / 2
		return "60012345" + hex.EncodeToString([]byte{byte(length >> 8), byte(length)}) + "2940" + src + dst + inner
	}
	const (
		same = "same"
		echo = "8000123400010001" // an ICMPv6 echo request
		rst  = "112200090000000100000000" + "50040000" + "12340000"
		syn  = "112200090000000100000000" + "50020000" + "12340000"
		ack  = "112200090000000100000000" + "50100000" + "12340000"
	)
	fromClient, fromContact := base("0008", "11", cn, h1)+udp8, base("0008", "11", h1, cn)+udp8
	hopped := base63("0008", "11", cn, h1) + udp8
	tooBig := "0200123400000514" + base("0008", "11", h1, cn) + udp8
	tooBigOther := "0200123400000514" + base("0008", "11", h1, cx) + udp8
	fragment := "1100000000000007" + udp8
	limit := "2900010400000000" // destination options: PadN, as RFC 2473's encapsulation limit
	p := newPrograms(t)
	for _, c := range []struct {
		name    string
		setup   func(testing.TB, *programs)
		egress  bool
		in      string
		verdict uint32
		out     string
	}{
		// Served here, relayed by the peer.
		{"relayed out", relayed, true, fromContact, pass, tunnel(c1, pe, fromContact)},
		{"relayed in", relayed, false, tunnel(pe, c1, fromClient), pass, fromClient},
		{"relayed in by somebody else", relayed, false, tunnel(cx, c1, fromClient), drop, ""},
		{"relayed in to another address", relayed, false, tunnel(pe, cx, fromClient), drop, ""},
		{"relayed in of another client", relayed, false, tunnel(pe, c1, base("0008", "11", cx, h1)+udp8), drop, ""},
		{"relayed in of an undeclared flow", declared(dataplane.Flow{}, dataplane.Route{}), false, tunnel(pe, c1, fromClient), drop, ""},
		{"Mobility Header relayed in", relayed, false, tunnel(pe, c1, base("0008", "87", cn, h1)+mh), drop, ""},
		{"Mobility Header of a relayed flow", relayed, true, base("0008", "87", h1, cn) + mh, pass, tunnel(c1, ha, base("0008", "87", h1, cn)+mh)},
		{"error relayed in", relayed, false, tunnel(pe, c1, base("0038", "3a", cx, h1)+tooBig), pass, base("0038", "3a", cx, h1) + tooBig},
		{"error about another flow relayed in", relayed, false, tunnel(pe, c1, base("0038", "3a", cx, h1)+tooBigOther), drop, ""},
		{"relayed, by the home agent", relayed, false, tunnel(ha, c1, fromClient), pass, fromClient},
		{"late, by the former peer", declared(all, dataplane.Route{Kind: dataplane.Optimised, From: peer}), false, tunnel(pe, c1, fromClient), pass, fromClient},
		{"late, by somebody else", declared(all, dataplane.Route{Kind: dataplane.Optimised, From: peer}), false, tunnel(cx, c1, fromClient), drop, ""},
		{"late, not accepted any more", declared(all, dataplane.Route{Kind: dataplane.Optimised}), false, tunnel(pe, c1, fromClient), drop, ""},
		{"late, of a flow that moved on", declared(all, dataplane.Route{Kind: dataplane.RelayTo, Peer: hexAddr(cx), From: peer}), false,
			tunnel(pe, c1, fromClient), redirected, tunnel(c1, cx, hopped)},
		{"held, of its relay", declared(all, dataplane.Route{Kind: dataplane.Held, Keep: true, Peer: peer}), false, tunnel(pe, c1, fromClient), redirected, fromClient},
		{"held, of its former relay", declared(all, dataplane.Route{Kind: dataplane.Held, Keep: true, From: peer}), false, tunnel(pe, c1, fromClient), redirected, fromClient},
		{"held, of a stranger", declared(all, dataplane.Route{Kind: dataplane.Held, Keep: true, Peer: peer, From: hexAddr(ha)}), false, tunnel(cx, c1, fromClient), drop, ""},
		{"direct out", declared(all, dataplane.Route{Kind: dataplane.Direct}), true, fromContact, pass, same},
		{"direct, relayed in", declared(all, dataplane.Route{Kind: dataplane.Direct, Peer: peer}), false, tunnel(pe, c1, fromClient), pass, fromClient},
		{"optimised, relayed in", declared(all, dataplane.Route{Kind: dataplane.Optimised, Peer: peer}), false, tunnel(pe, c1, fromClient), pass, fromClient},
		{"optimised, relayed in by somebody else", declared(all, dataplane.Route{Kind: dataplane.Optimised, Peer: peer}), false, tunnel(cx, c1, fromClient), drop, ""},
		{"optimised, sent in by its relay", declared(all, dataplane.Route{Kind: dataplane.Optimised, Peer: peer}), false, tunnel(pe, c1, fromContact), drop, ""},
		{"direct without relay", declared(all, dataplane.Route{Kind: dataplane.Direct}), false, tunnel(pe, c1, fromClient), drop, ""},

		// Served by the peer, relayed here.
		{"given back", returned, false, tunnel(pe, c1, fromClient), redirected, fromClient},
		{"not given back yet", returned, false, tunnel(ha, c1, fromClient), redirected, tunnel(c1, pe, hopped)},
		{"given back by a stranger", returned, false, tunnel(cx, c1, fromClient), drop, ""},
		{"from the peer before", handedOn, false, tunnel(cx, c1, fromContact), redirected, tunnel(c1, ha, base63("0008", "11", h1, cn)+udp8)},
		{"from a relay that is no peer", chain, false, tunnel(cx, c1, fromContact), drop, ""},
		{"from the peer to its relay", chain, false, tunnel(pe, c1, fromContact), redirected, tunnel(c1, cx, base63("0008", "11", h1, cn)+udp8)},
		{"to the peer from its relay", chain, false, tunnel(cx, c1, fromClient), redirected, tunnel(c1, pe, hopped)},
		{"to the peer", relayTo(dataplane.Tunnelled), false, tunnel(ha, c1, fromClient), redirected, tunnel(c1, pe, hopped)},
		{"to the peer, tunnel with options", relayTo(dataplane.Tunnelled), false,
			base("0038", "3c", ha, c1) + limit + fromClient, redirected, tunnel(c1, pe, hopped)},
		{"to the peer, route optimised", relayTo(dataplane.Optimised), false, base("0020", "2b", cn, c1) + "11" + rh2 + udp8, redirected, tunnel(c1, pe, hopped)},
		{"to the peer, another client", relayTo(dataplane.Tunnelled), false, tunnel(ha, c1, base("0008", "11", cx, h1)+udp8), pass, base("0008", "11", cx, h1) + udp8},
		{"to the peer, from a stranger", relayTo(dataplane.Tunnelled), false, tunnel(cx, c1, fromClient), drop, ""},
		{"to the peer, native", relayTo(dataplane.Tunnelled), false, fromClient, drop, ""},
		{"to the peer, Mobility Header", relayTo(dataplane.Tunnelled), false, tunnel(ha, c1, base("0008", "87", cn, h1)+mh), pass, base("0008", "87", cn, h1) + mh},
		{"to the peer, error", relayTo(dataplane.Tunnelled), false, tunnel(ha, c1, base("0038", "3a", cx, h1)+tooBig), redirected,
			tunnel(c1, pe, base63("0038", "3a", cx, h1)+tooBig)},
		{"to the peer, error about another flow", relayTo(dataplane.Tunnelled), false, tunnel(ha, c1, base("0038", "3a", cx, h1)+tooBigOther), pass,
			base("0038", "3a", cx, h1) + tooBigOther},
		{"to the peer, echo", relayTo(dataplane.Tunnelled), false, tunnel(ha, c1, base("0008", "3a", cn, h1)+echo), redirected, tunnel(c1, pe, base63("0008", "3a", cn, h1)+echo)},
		{"to the peer, no hop left", relayTo(dataplane.Tunnelled), false, tunnel(ha, c1, "6001234500081101"+cn+h1+udp8), drop, ""},
		{"to the peer, no hop left, optimised", relayTo(dataplane.Tunnelled), false, "6001234500202b01" + cn + c1 + "11" + rh2 + udp8, drop, ""},
		{"from the peer by the home agent", relayTo(dataplane.Tunnelled), false, tunnel(pe, c1, fromContact), redirected, tunnel(c1, ha, base63("0008", "11", h1, cn)+udp8)},
		{"from the peer, route optimised", relayTo(dataplane.Optimised), false, tunnel(pe, c1, fromContact), redirected, base63("0020", "3c", c1, cn) + "11" + hao + udp8},
		{"from the peer, direct", relayTo(dataplane.Direct), false, tunnel(pe, c1, fromContact), redirected, base63("0008", "11", h1, cn) + udp8},
		{"from the peer, hop-by-hop first", relayTo(dataplane.Optimised), false, tunnel(pe, c1, base("0010", "00", h1, cn)+"1100050200000000"+udp8), redirected,
			tunnel(c1, ha, base63("0010", "00", h1, cn)+"1100050200000000"+udp8)},
		{"from a stranger", relayTo(dataplane.Tunnelled), false, tunnel(cx, c1, fromContact), drop, ""},
		{"from the peer to another client", relayTo(dataplane.Tunnelled), false, tunnel(pe, c1, base("0008", "11", h1, cx)+udp8), drop, ""},
		{"from the peer to another address of ours", relayTo(dataplane.Tunnelled), false, tunnel(pe, cx, fromContact), pass, same},
		{"from the peer, another source", relayTo(dataplane.Tunnelled), false, tunnel(pe, c1, base("0008", "11", h2, cn)+udp8), pass, same},
		{"from the peer, Mobility Header", relayTo(dataplane.Tunnelled), false, tunnel(pe, c1, base("0008", "87", h1, cn)+mh), drop, ""},
		{"from the peer, neighbour discovery", relayTo(dataplane.Tunnelled), false, tunnel(pe, c1, base("0008", "3a", h1, cn)+"8700123400000000"), drop, ""},
		{"from the peer, no hop left", relayTo(dataplane.Direct), false, tunnel(pe, c1, "6001234500081101"+h1+cn+udp8), drop, ""},
		{"the peer of a flow that it relays", relayed, false, tunnel(pe, c1, fromContact), drop, ""},
		{"sent here, served there", relayTo(dataplane.Tunnelled), true, fromContact, drop, ""},
		{"Mobility Header sent here, served there", relayTo(dataplane.Tunnelled), true, base("0008", "87", h1, cn) + mh, pass, tunnel(c1, ha, base("0008", "87", h1, cn)+mh)},

		// Single connections.
		{"connection to the peer", declared(in, dataplane.Route{Kind: dataplane.RelayTo, Peer: peer}), false, tunnel(ha, c1, fromClient), redirected, tunnel(c1, pe, hopped)},
		{"connection to the peer, another", declared(in, dataplane.Route{Kind: dataplane.RelayTo, Peer: peer}), false,
			tunnel(ha, c1, base("0008", "11", cn, h1)+"1123000900081234"), pass, base("0008", "11", cn, h1) + "1123000900081234"},
		{"connection, behind options", declared(in, dataplane.Route{Kind: dataplane.RelayTo, Peer: peer}), false,
			tunnel(ha, c1, base("0010", "3c", cn, h1)+"1100010400000000"+udp8), redirected, tunnel(c1, pe, base63("0010", "3c", cn, h1)+"1100010400000000"+udp8)},
		{"connection, fragment", declared(in, dataplane.Route{Kind: dataplane.RelayTo, Peer: peer}), false,
			tunnel(ha, c1, base("0010", "2c", cn, h1)+fragment), pass, base("0010", "2c", cn, h1) + fragment},
		{"connection, error", declared(out, dataplane.Route{Kind: dataplane.RelayTo, Peer: peer}), false, tunnel(ha, c1, base("0038", "3a", cx, h1)+tooBig), redirected,
			tunnel(c1, pe, base63("0038", "3a", cx, h1)+tooBig)},
		{"connection relayed out", declared(out, dataplane.Route{Kind: dataplane.Relayed, Peer: peer}), true, fromContact, pass, tunnel(c1, pe, fromContact)},
		{"connection relayed out, another", declared(out, dataplane.Route{Kind: dataplane.Relayed, Peer: peer}), true, base("0008", "11", h1, cn) + "1123000900081234", pass,
			tunnel(c1, ha, base("0008", "11", h1, cn)+"1123000900081234")},
		{"connection before its client", func(t testing.TB, p *programs) {
			declared(all, dataplane.Route{Kind: dataplane.Held})(t, p)
			declared(in, dataplane.Route{Kind: dataplane.Optimised})(t, p)
		}, false, tunnel(ha, c1, fromClient), pass, fromClient},

		// Kept: to the TUN interface, as it will be delivered.
		{"kept, tunnelled", declared(all, dataplane.Route{Kind: dataplane.Held, Keep: true}), false, tunnel(ha, c1, fromClient), redirected, fromClient},
		{"kept, optimised", declared(all, dataplane.Route{Kind: dataplane.Held, Keep: true}), false, base("0020", "2b", cn, c1) + "11" + rh2 + udp8, redirected, fromClient},
		{"kept, relayed by the donor", declared(all, dataplane.Route{Kind: dataplane.Held, Keep: true, From: peer}), false, tunnel(pe, c1, fromClient), redirected, fromClient},
		{"kept, from a stranger", declared(all, dataplane.Route{Kind: dataplane.Held, Keep: true}), false, tunnel(cx, c1, fromClient), drop, ""},
		{"kept, native", declared(all, dataplane.Route{Kind: dataplane.Held, Keep: true}), false, fromClient, drop, ""},
		{"kept, Mobility Header", declared(all, dataplane.Route{Kind: dataplane.Held, Keep: true}), false, tunnel(ha, c1, base("0008", "87", cn, h1)+mh), pass, base("0008", "87", cn, h1) + mh},
		{"kept, what we send", declared(all, dataplane.Route{Kind: dataplane.Held, Keep: true}), true, fromContact, drop, ""},

		// Paused: what the peer sends to the TUN interface, as the contact address sent it.
		{"paused, from the peer", paused, false, tunnel(pe, c1, fromContact), redirected, base63("0008", "11", h1, cn) + udp8},
		{"paused, from the peer before", paused, false, tunnel(cx, c1, fromContact), redirected, base63("0008", "11", h1, cn) + udp8},
		{"paused, tunnel with options", paused, false, base("0038", "3c", pe, c1) + limit + fromContact, redirected, base63("0008", "11", h1, cn) + udp8},
		{"paused, hop-by-hop first", paused, false, tunnel(pe, c1, base("0010", "00", h1, cn)+"1100050200000100"+udp8), redirected,
			base63("0010", "00", h1, cn) + "1100050200000100" + udp8},
		{"paused, to the peer", paused, false, tunnel(ha, c1, fromClient), redirected, tunnel(c1, pe, hopped)},
		{"paused, to the peer, route optimised", paused, false, base("0020", "2b", cn, c1) + "11" + rh2 + udp8, redirected, tunnel(c1, pe, hopped)},
		{"paused, from a stranger", paused, false, tunnel(ha, c1, fromContact), drop, ""},
		{"paused, Mobility Header from the peer", paused, false, tunnel(pe, c1, base("0008", "87", h1, cn)+mh), drop, ""},
		{"paused, Mobility Header to us", paused, false, tunnel(ha, c1, base("0008", "87", cn, h1)+mh), pass, base("0008", "87", cn, h1) + mh},
		{"paused, no hop left", paused, false, tunnel(pe, c1, "6001234500081101"+h1+cn+udp8), drop, ""},
		{"paused, sent here", paused, true, fromContact, drop, ""},

		// Steered: to the TUN interface, tunnel and all.
		{"SYN", declared(dataplane.Flow{}, dataplane.Route{}, 80, 9), false, tunnel(ha, c1, base("0014", "06", cn, h1)+syn), redirected, same},
		{"SYN to another port", declared(dataplane.Flow{}, dataplane.Route{}, 80), false, tunnel(ha, c1, base("0014", "06", cn, h1)+syn), pass, base("0014", "06", cn, h1) + syn},
		{"no SYN", declared(dataplane.Flow{}, dataplane.Route{}, 9), false, tunnel(ha, c1, base("0014", "06", cn, h1)+ack), pass, base("0014", "06", cn, h1) + ack},
		{"RST", declared(dataplane.Flow{}, dataplane.Route{}, 9), false, tunnel(ha, c1, base("0014", "06", cn, h1)+rst), pass, base("0014", "06", cn, h1) + rst},
		{"SYN of a flow with a route", declared(in, dataplane.Route{}, 9), false, tunnel(ha, c1, base("0014", "06", cn, h1)+syn), pass, base("0014", "06", cn, h1) + syn},
		{"SYN, no room for a decision", func(t testing.TB, p *programs) {
			declared(dataplane.Flow{}, dataplane.Route{}, 9)(t, p)
			setSteering(t, p, 5, 5)
		}, false, tunnel(ha, c1, base("0014", "06", cn, h1)+syn), pass, base("0014", "06", cn, h1) + syn},
		{"SYN by a stranger", declared(dataplane.Flow{}, dataplane.Route{}, 9), false, tunnel(pe, c1, base("0014", "06", cn, h1)+syn), drop, ""},
		{"SYN by a relay", func(t testing.TB, p *programs) {
			declared(dataplane.Flow{}, dataplane.Route{}, 9)(t, p)
			check(t, put(p.Relays, bindingKey(hexAddr(h1), peer), uint32(1)))
		}, false, tunnel(pe, c1, base("0014", "06", cn, h1)+syn), redirected, same},
		{"data by a relay", func(t testing.TB, p *programs) {
			declared(dataplane.Flow{}, dataplane.Route{}, 9)(t, p)
			check(t, put(p.Relays, bindingKey(hexAddr(h1), peer), uint32(1)))
		}, false, tunnel(pe, c1, base("0014", "06", cn, h1)+ack), drop, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			empty(t, p)
			setSteering(t, p, 0, 8)
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

// What came with a routing header and does not fit the tunnel to the peer is
// dropped, and its sender's packet reported; what just fits goes.
func TestProgramsRelaySize(t *testing.T) {
	p := newPrograms(t)
	declared(dataplane.Flow{Home: hexAddr(h1), Client: hexAddr(cn)}, dataplane.Route{Kind: dataplane.RelayTo, Peer: hexAddr(pe)})(t, p)
	for size, want := range map[int]uint32{1460: redirected, 1461: drop} {
		data := size - 40 - 8
		frame := packet(t, base(hex.EncodeToString(binary.BigEndian.AppendUint16(nil, uint16(24+8+data))), "2b", cn, c1)+"11"+rh2+udp8)
		verdict, _ := run(t, p.VanycastIngress, append(frame, make([]byte, data)...))
		if verdict != want {
			t.Errorf("%d bytes: verdict %#x, want %#x", size, verdict, want)
		}
	}
}

package tcbpf

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/vanycast/vanycast/mipv6/dataplane"
)

// FuzzPrograms gives the programs any packet while everything is declared. They
// let it pass as it is, drop it, or change its length by what they insert or
// remove; and never does a contact address leave as source.
func FuzzPrograms(f *testing.F) {
	for _, s := range []string{
		base("0008", "11", h1, cn) + udp8,
		base("0020", "3c", c1, cn) + "11" + hao + udp8,
		base("0020", "2b", cn, c1) + "11" + rh2 + udp8,
		base("0038", "3c", ha, c1) + "2900040104010100" + base("0008", "11", cn, h1) + udp8,
		base("0010", "00", cn, h1) + "1100050200000100" + udp8,
		base("0030", "29", pe, c1) + base("0008", "11", h1, cn) + udp8,
		base("0030", "29", pe, c1) + base("0008", "11", cn, h1) + udp8,
		base("0058", "29", ha, c1) + base("0038", "3a", cx, h1) + "0200123400000514" + base("0008", "11", h1, cn) + udp8,
	} {
		for kind := range dataplane.Direct + 1 {
			f.Add(packet(f, s)[14:], true, uint8(kind))
			f.Add(packet(f, s)[14:], false, uint8(kind))
		}
	}
	p := newPrograms(f)
	correspondent(f, p)
	check(f, put(p.Tunnels, mapAddress(hexAddr(h2)), mapTunnel{CareOf: mapAddress(hexAddr(c1)), HomeAgent: mapAddress(hexAddr(ha))}))
	frame := packet(f, "")
	f.Fuzz(func(t *testing.T, b []byte, egress bool, kind uint8) {
		if len(b) > 3000 {
			return
		}
		route := dataplane.Route{Kind: dataplane.RouteKind(kind % 6), Via: dataplane.RouteKind(kind / 6 % 6), Peer: hexAddr(pe), From: hexAddr(cx), Keep: kind >= 128, Pause: kind&64 != 0}
		declared(dataplane.Flow{Home: hexAddr(h1), Client: hexAddr(cn)}, route, 80)(t, p)
		prog := p.VanycastIngress
		if egress {
			prog = p.VanycastEgress
		}
		in := append(bytes.Clone(frame), b...)
		verdict, out, err := prog.Test(in)
		if err != nil {
			t.Skip() // the kernel does not make a packet of so few bytes
		}
		if verdict != pass && verdict != drop && verdict != redirected {
			t.Fatalf("verdict %#x", verdict)
		}
		if verdict == drop || len(b) < ipv6Length || b[0]>>4 != 6 {
			return
		}
		out = out[len(frame):]
		relays := route.Kind == dataplane.RelayTo
		switch d := len(out) - len(b); {
		case d == 0, egress && (d == extensionLength || d == ipv6Length), !egress && (d == -extensionLength || d <= -ipv6Length && d%8 == 0):
		case relays && !egress && d <= ipv6Length-extensionLength && d%8 == 0:
		default:
			t.Errorf("egress %v, %v: length changed by %d", egress, route, d)
		}
		home := mapAddress(hexAddr(h1))
		if egress && route.Kind != dataplane.Direct && address(out[8:24]) == home {
			t.Error("a packet left with the contact address as source")
		}
		if !egress && !relays && len(out) == len(b)-extensionLength {
			was, is := binary.BigEndian.Uint16(b[4:]), binary.BigEndian.Uint16(out[4:])
			if is != was-extensionLength {
				t.Errorf("payload length %d became %d", was, is)
			}
		}
	})
}

// FuzzEvent reads any record of the ring.
func FuzzEvent(f *testing.F) {
	f.Add(make([]byte, 52))
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, ok := parseEvent(b); ok && (e.Kind != dataplane.UnknownHomeAddress || !e.Home.Is6()) {
			t.Errorf("%+v", e)
		}
	})
}

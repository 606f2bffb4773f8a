package tcbpf

import (
	"bytes"
	"errors"
	"net/netip"
	"testing"

	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/mipv6/internal/pathmtu"
)

// Which packet was quoted, whose it was, and what is made of the message.
func TestTooBig(t *testing.T) {
	optimised := base("0020", "3c", c1, cn) + "11" + hao + udp8
	routed := base("0020", "2b", cn, c1) + "11" + rh2 + udp8
	tunnelled := base("0030", "29", c1, ha) + base("0008", "11", h1, cx) + udp8
	forwarded := base("0030", "29", ha, c1) + base("0008", "11", cn, h2) + udp8
	for name, c := range map[string]struct {
		in, original string
		owner        owner
		err          error
	}{
		"optimised":       {in: optimised, original: base("0008", "11", h1, cn) + udp8, owner: owner{path: path{hexAddr(h1), hexAddr(cn)}, careOf: hexAddr(c1)}},
		"by a binding":    {in: routed, original: base("0008", "11", cn, h1) + udp8, owner: owner{path: path{home: hexAddr(h1)}}},
		"tunnelled":       {in: tunnelled, original: base("0008", "11", h1, cx) + udp8, owner: owner{path: path{hexAddr(h1), hexAddr(cx)}, careOf: hexAddr(c1)}},
		"of a home agent": {in: forwarded, original: base("0008", "11", cn, h2) + udp8, owner: owner{path: path{home: hexAddr(h2)}, sender: senderForwarded}},
		"relayed by a peer": {in: base("0030", "29", c1, pe) + base("0008", "11", h1, cx) + udp8, original: base("0008", "11", h1, cx) + udp8,
			owner: owner{path: path{hexAddr(h1), hexAddr(cx)}, careOf: hexAddr(c1)}},
		"relayed to a peer": {in: base("0030", "29", c1, pe) + base("0008", "11", cl, h1) + udp8, original: base("0008", "11", cl, h1) + udp8,
			owner: owner{path: path{hexAddr(h1), hexAddr(cl)}, sender: senderClient, careOf: hexAddr(c1)}},
		"a peer's": {in: base("0030", "29", c1, ha) + base("0008", "11", h1, cl) + udp8, original: base("0008", "11", h1, cl) + udp8,
			owner: owner{path: path{hexAddr(h1), hexAddr(cl)}, sender: senderPeer, careOf: hexAddr(c1), peer: hexAddr(pe)}},
		"a peer's, optimised": {in: base("0020", "3c", c1, cl) + "11" + hao + udp8, original: base("0008", "11", h1, cl) + udp8,
			owner: owner{path: path{hexAddr(h1), hexAddr(cl)}, sender: senderPeer, careOf: hexAddr(c1), peer: hexAddr(pe)}},
		"to another peer": {in: base("0030", "29", c1, cx) + base("0008", "11", cl, h1) + udp8, original: base("0008", "11", cl, h1) + udp8, err: pathmtu.ErrNotOurs},
		"other client":    {in: base("0020", "3c", c1, cx) + "11" + hao + udp8, original: base("0008", "11", h1, cx) + udp8, err: pathmtu.ErrNotOurs},
		"other care-of":   {in: base("0020", "3c", cx, cn) + "11" + hao + udp8, original: base("0008", "11", h1, cn) + udp8, err: pathmtu.ErrNotOurs},
		"other tunnel":    {in: base("0030", "29", cx, ha) + base("0008", "11", h1, cx) + udp8, original: base("0008", "11", h1, cx) + udp8, err: pathmtu.ErrNotOurs},
	} {
		t.Run(name, func(t *testing.T) {
			p := &Plane{
				contacts: map[netip.Addr]*contact{hexAddr(h1): {Contact: dataplane.Contact{Home: hexAddr(h1), CareOf: hexAddr(c1), HomeAgent: hexAddr(ha)}}},
				flows: map[dataplane.Flow]*flow{
					{Home: hexAddr(h1), Client: hexAddr(cn)}:                                  {Route: dataplane.Route{Kind: dataplane.Optimised}},
					{Home: hexAddr(h1), Client: hexAddr(cx), HomePort: 0x1122, ClientPort: 9}: {Route: dataplane.Route{Kind: dataplane.Relayed, Peer: hexAddr(pe)}},
					{Home: hexAddr(h1), Client: hexAddr(cl)}:                                  {Route: dataplane.Route{Kind: dataplane.RelayTo, Peer: hexAddr(pe), Via: dataplane.Optimised}},
				},
				bindings: map[bindingID]dataplane.Binding{{hexAddr(cn), hexAddr(h1)}: {Local: hexAddr(cn), Home: hexAddr(h1), CareOf: hexAddr(c1)}},
				tunnels:  map[netip.Addr]dataplane.Tunnel{hexAddr(h2): {Home: hexAddr(h2), CareOf: hexAddr(c1), HomeAgent: hexAddr(ha)}},
			}
			mtu, q, err := pathmtu.Parse(append([]byte{2, 0, 0, 0, 0, 0, 5, 0x14}, packet(t, c.in)[14:]...))
			if err != nil || mtu != 1300 {
				t.Fatalf("MTU %d, %v", mtu, err)
			}
			if want := packet(t, c.original)[14:]; !bytes.Equal(q.Original, want) {
				t.Errorf("original %x\nwant     %x", q.Original, want)
			}
			o, err := p.owner(&q)
			if o != c.owner || !errors.Is(err, c.err) {
				t.Errorf("owner %+v, %v; want %+v, %v", o, err, c.owner, c.err)
			}
		})
	}
}

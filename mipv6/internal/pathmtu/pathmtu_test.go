package pathmtu

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"testing"
)

// Addresses of the packets below, in their hexadecimal.
const (
	h1 = "20010db8000900000000000000000001" // contact address
	c1 = "20010db8000100000000000000000010" // its care-of address
	ha = "20010db80009000000000000000000ff" // home agent
	cn = "20010db8000a00000000000000000010" // client
	cx = "20010db8000b00000000000000000010" // a router
)

const (
	udp8 = "1122000900081234"    // a whole datagram without data
	hao  = "0201020000c910" + h1 // behind its next header
	rh2  = "02020100000000" + h1
)

// base is an IPv6 header with hop limit 64; length and next header are
// hexadecimal.
func base(length, next, src, dst string) string { return "60012345" + length + next + "40" + src + dst }

func hexAddr(s string) netip.Addr {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return netip.AddrFrom16([16]byte(b))
}

func packet(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The message itself; the bytes are scapy's.
func TestTooBigMessage(t *testing.T) {
	original := packet(t, base("0008", "11", h1, cn)+udp8)
	want := packet(t, "6000000000383a40"+cx+h1+"0200897e000004ec"+base("0008", "11", h1, cn)+udp8)
	if got := tooBig(hexAddr(cx), hexAddr(h1), 1260, original); !bytes.Equal(got, want) {
		t.Errorf("got  %x\nwant %x", got, want)
	}
	long := append(original, make([]byte, 3001)...)
	if got := tooBig(hexAddr(cx), hexAddr(h1), 1260, long); len(got) != MinimumMTU {
		t.Errorf("%d bytes, want %d", len(got), MinimumMTU)
	}
}

// FuzzTooBig reads any ICMPv6 message; what it takes for a rewritten packet, a
// data plane would make of the original again.
func FuzzTooBig(f *testing.F) {
	for _, s := range []string{
		base("0020", "3c", c1, cn) + "11" + hao + udp8,
		base("0020", "2b", cn, c1) + "11" + rh2 + udp8,
		base("0030", "29", ha, c1) + base("0008", "11", cn, h1) + udp8,
	} {
		f.Add(append([]byte{2, 0, 0, 0, 0, 0, 5, 0}, packet(f, s)...))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		mtu, q, err := Parse(b)
		if err != nil {
			return
		}
		if mtu != int(binary.BigEndian.Uint32(b[4:])) {
			t.Errorf("MTU %d", mtu)
		}
		if len(q.Original) < ipv6Length+transportLength {
			t.Fatalf("original of %d bytes", len(q.Original))
		}
		quoted := b[tooBigHeaderLength:]
		if q.Kind == Tunnel {
			if !bytes.Equal(q.Original, quoted[ipv6Length:]) {
				t.Error("the inner packet changed")
			}
			return
		}
		if !bytes.Equal(q.Original[ipv6Length:], quoted[ipv6Length+ExtensionLength:]) {
			t.Error("what follows the extension header changed")
		}
		again := append(bytes.Clone(q.Original[:ipv6Length]), quoted[ipv6Length:]...)
		binary.BigEndian.PutUint16(again[4:], binary.BigEndian.Uint16(again[4:])+ExtensionLength)
		again[6] = quoted[6]
		place := map[Kind]int{HomeAddress: 8, RoutingHeader: 24}[q.Kind]
		copy(again[place:], quoted[place:place+16])
		if !bytes.Equal(again, quoted) {
			t.Errorf("%x\nis not made again of\n%x", quoted, q.Original)
		}
	})
}

package tcbpf

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"testing"

	"github.com/vanycast/vanycast/mipv6/dataplane"
)

// Which flow a packet belongs to: the same answer as the programs give.
func TestFlowOf(t *testing.T) {
	plain := dataplane.Flow{Home: hexAddr(h1), Client: hexAddr(cn)}
	connection := plain
	connection.HomePort, connection.ClientPort = 9, 0x1122
	answered := plain
	answered.HomePort, answered.ClientPort = 0x1122, 9
	router := dataplane.Flow{Home: hexAddr(h1), Client: hexAddr(cx)}
	for name, c := range map[string]struct {
		packet string
		want   dataplane.Flow
	}{
		"UDP":                     {base("0008", "11", cn, h1) + udp8, connection},
		"behind options":          {base("0010", "3c", cn, h1) + "1100010400000000" + udp8, connection},
		"behind too many options": {base("0028", "00", cn, h1) + "3c00010400000000" + "3c00010400000000" + "1100010400000000" + udp8, plain},
		"fragment":                {base("0010", "2c", cn, h1) + "1100000000000007" + udp8, plain},
		"cut off":                 {base("0008", "11", cn, h1) + "1122", plain},
		"port 0":                  {base("0008", "11", cn, h1) + "0000000900081234", plain},
		"options cut off":         {base("0008", "3c", cn, h1) + "1102010400000000", plain},
		"echo":                    {base("0008", "3a", cn, h1) + "8000123400010001", plain},
		"error":                   {base("0038", "3a", cx, h1) + "0200123400000514" + base("0008", "11", h1, cn) + udp8, answered},
		"error about another":     {base("0038", "3a", cx, h1) + "0200123400000514" + base("0008", "11", h2, cn) + udp8, router},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := flowOf(packet(t, c.packet)[14:])
			if !ok || got != c.want {
				t.Errorf("%v, %v, want %v", got, ok, c.want)
			}
		})
	}
}

func offload(flags byte, csumStart uint16) []byte {
	b := make([]byte, offloadLength)
	b[offloadFlags] = flags
	binary.NativeEndian.PutUint16(b[offloadCsumStart:], csumStart)
	return b
}

// A steered SYN loses its tunnel, and what is said of its checksum stays true.
func TestSteeredSYN(t *testing.T) {
	const syn = "112200090000000100000000" + "50020000" + "12340000"
	inner := packet(t, base("0014", "06", cn, h1)+syn)[14:]
	want := dataplane.Flow{Home: hexAddr(h1), Client: hexAddr(cn), HomePort: 9, ClientPort: 0x1122}
	for name, c := range map[string]struct {
		outer  string
		header []byte
		start  uint16
		ok     bool
	}{
		"plain":                    {base("003c", "29", ha, c1), offload(0, 0), 0, true},
		"unfinished checksum":      {base("003c", "29", ha, c1), offload(offloadNeedsCsum, 80), 40, true},
		"options":                  {base("0044", "3c", ha, c1) + "2900010400000000", offload(offloadNeedsCsum, 88), 40, true},
		"checksum in the tunnel":   {base("003c", "29", ha, c1), offload(offloadNeedsCsum, 39), 0, false},
		"no tunnel":                {base("003c", "11", ha, c1), offload(0, 0), 0, false},
		"options beyond the end":   {base("0044", "3c", ha, c1) + "29ff010400000000", offload(0, 0), 0, false},
		"IPv6 in IPv6 in a tunnel": {base("003c", "29", ha, c1) + base("003c", "29", ha, c1), offload(0, 0), 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			b := append(bytes.Clone(c.header), append(packet(t, c.outer)[14:], inner...)...)
			got, f, source, destination, ok := steeredSYN(b)
			if ok != c.ok {
				t.Fatalf("ok %v, want %v", ok, c.ok)
			}
			if !ok {
				return
			}
			if f != want || source != hexAddr(ha) || destination != hexAddr(c1) || !bytes.Equal(got[offloadLength:], inner) {
				t.Errorf("%v from %v to %v: %x", f, source, destination, got)
			}
			if start := binary.NativeEndian.Uint16(got[offloadCsumStart:]); start != c.start {
				t.Errorf("checksum starts at %d, want %d", start, c.start)
			}
		})
	}
}

// FuzzKeptPacket: whatever the interface gives, nothing is read beyond its end,
// and what is taken for a SYN is a packet that can go back.
func FuzzKeptPacket(f *testing.F) {
	for _, s := range []string{
		base("0008", "11", cn, h1) + udp8,
		base("003c", "29", ha, c1) + base("0014", "06", cn, h1) + "112200090000000100000000" + "50020000" + "12340000",
		base("0038", "3a", cx, h1) + "0200123400000514" + base("0008", "11", h1, cn) + udp8,
	} {
		b, err := hex.DecodeString(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(append(offload(offloadNeedsCsum, 80), b...))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= offloadLength {
			flow, ok := flowOf(b[offloadLength:])
			if (flow.HomePort == 0) != (flow.ClientPort == 0) {
				t.Errorf("half a connection: %v", flow)
			}
			k := newKept(KeepLimits{FlowPackets: 1, FlowBytes: 1, Packets: 1, Bytes: 1})
			if ok {
				k.hold(sent(outgoingFlowOf(b[offloadLength:]).ClientFlow()))
			}
			inSequence([][]byte{bytes.Clone(b)})
			if q, found := k.findPacket(b[offloadLength:]); found != ok || ok && q == nil {
				t.Errorf("found %v of a packet whose flow is paused", q)
			}
		}
		length := len(b)
		syn, flow, _, _, ok := steeredSYN(b)
		if !ok {
			return
		}
		if len(syn) > length-ipv6Length || !flow.IsConnection() {
			t.Errorf("%d bytes of %d, flow %v", len(syn), length, flow)
		}
		if again, ok := flowOf(syn[offloadLength:]); !ok || again != flow {
			t.Errorf("flow %v, then %v", flow, again)
		}
	})
}

// Segments are let go in the order of their sequence numbers, across the end of
// the numbers too; all else stays in its place. So are those that a contact address
// sent.
func TestInSequence(t *testing.T) {
	t.Run("came", func(t *testing.T) { testInSequence(t, cn, h1) })
	t.Run("sent", func(t *testing.T) { testInSequence(t, h1, cn) })
}

// What was sent again stays behind what was sent before it, or that would be
// dropped for its timestamp.
func TestInSequenceAgain(t *testing.T) {
	segment := func(sequence, options string) []byte {
		offset := fmt.Sprintf("%x", 5+len(options)/8)
		length := fmt.Sprintf("%04x", 20+len(options)/2)
		return append(offload(0, 0), packet(t, base(length, "06", cn, h1)+"11220009"+sequence+"00000000"+offset+"010"+"000000000000"+options)[14:]...)
	}
	stamp := func(value string) string { return "0101080a" + value + "00000001" }
	a, b, c := segment("00000001", stamp("fffffffe")), segment("00000005", stamp("fffffffe")), segment("00000009", stamp("00000001"))
	again := segment("00000001", stamp("00000002"))
	plain := segment("00000002", "")
	cut := segment("00000003", "0a0a0801")
	for name, k := range map[string]struct{ kept, want [][]byte }{
		"sent again":       {[][]byte{b, c, again, a}, [][]byte{a, b, c, again}},
		"not all have one": {[][]byte{b, c, again, plain}, [][]byte{again, plain, b, c}},
		"options run on":   {[][]byte{b, cut, again}, [][]byte{again, cut, b}},
		"neither has one":  {[][]byte{plain, cut}, [][]byte{plain, cut}},
	} {
		got := inSequence(slices.Clone(k.kept))
		for i := range k.want {
			if !bytes.Equal(got[i], k.want[i]) {
				t.Errorf("%s: packet %d is % x, want % x", name, i, got[i], k.want[i])
			}
		}
	}
}

func testInSequence(t *testing.T, from, to string) {
	kept := func(next, body string) []byte {
		return append(offload(0, 0), packet(t, base("0014", next, from, to)+body)[14:]...)
	}
	segment := func(port, sequence string) []byte {
		return kept("06", port+"0009"+sequence+"00000000"+"50100000"+"00000000")
	}
	a1, a2, a3 := segment("1122", "fffffff0"), segment("1122", "fffffff8"), segment("1122", "00000008")
	b1, b2 := segment("3344", "00000001"), segment("3344", "00000002")
	echo, short := kept("3a", "8000123400010001"), kept("06", "11220009000000")
	got := inSequence([][]byte{a3, echo, b2, a1, short, b1, a2})
	for i, want := range [][]byte{a1, echo, b1, a2, short, b2, a3} {
		if !bytes.Equal(got[i], want) {
			t.Errorf("packet %d is % x, want % x", i, got[i], want)
		}
	}
}

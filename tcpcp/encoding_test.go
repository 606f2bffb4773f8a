package tcpcp

import (
	"bytes"
	"encoding/hex"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// golden is sampleEndpoint's encoding, field by field.
const golden = `
74637045                          "tcpE"
01                                version
04                                FIN_WAIT1
001f                              read shut, window scaling, SACK, timestamps, microseconds
20010db8000900000000000000000001  local address
0fa0                              port
20010db8000a00000000000000000010  remote address
c3cb                              port
01020304 11121314                 SendNext, ReceiveNext
11121310 21222324 31323334        SendWL1, SendWindow, MaxWindow
41424344 11121312                 ReceiveWindow, ReceiveWUP
05a0 07 0a                        MSS, send scale, receive scale
51525354                          timestamp
00000004 00000008 00000006        lengths of the queues
0053 0000                         length of the options, zero
01 00                             TCP_NODELAY
02 00                             TCP_CORK
03 00                             SO_KEEPALIVE
04 04 0000003c                    TCP_KEEPIDLE
05 04 0000000a                    TCP_KEEPINTVL
06 04 00000003                    TCP_KEEPCNT
07 04 00007530                    TCP_USER_TIMEOUT
08 03 626272                      TCP_CONGESTION bbr
09 04 00061626                    SO_SNDBUF
0a 04 00071727                    SO_RCVBUF
0b 00                             the former is locked
0c 00                             the latter is locked
0d 04 000000b8                    IPV6_TCLASS
0e 04 00004000                    TCP_NOTSENT_LOWAT
0f 00                             SO_OOBINLINE
10 04 00000000                    SO_LINGER, 0 s
11 04 0000002c                    congestion window
12 04 000004b8                    segment size
73656e74                          sent
6e6f742073656e74                  not sent
756e72656164                      unread
`

// goldenBytes leaves the comments out: they begin after two spaces.
func goldenBytes(t testing.TB) []byte {
	t.Helper()
	var digits strings.Builder
	for line := range strings.Lines(golden) {
		field, _, _ := strings.Cut(strings.TrimSpace(line), "  ")
		digits.WriteString(strings.ReplaceAll(field, " ", ""))
	}
	b, err := hex.DecodeString(digits.String())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var compareAddrs = cmpopts.EquateComparable(netip.AddrPort{})

func TestGolden(t *testing.T) {
	want := goldenBytes(t)
	got, err := sampleEndpoint().MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(hex.Dump(want), hex.Dump(got)); diff != "" {
		t.Errorf("encoded (-want +got):\n%s", diff)
	}
	var e Endpoint
	if err := e.UnmarshalBinary(want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sampleEndpoint(), &e, compareAddrs); diff != "" {
		t.Errorf("decoded (-want +got):\n%s", diff)
	}
}

func TestUnmarshalKeepsNothing(t *testing.T) {
	b := goldenBytes(t)
	var copied Endpoint
	if err := copied.UnmarshalBinary(b); err != nil {
		t.Fatal(err)
	}
	shared, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	clear(b)
	if string(copied.Sent) != "sent" {
		t.Error("UnmarshalBinary kept a part of its argument")
	}
	if string(shared.Sent) == "sent" {
		t.Error("Parse copied")
	}
}

// Each byte missing, and one too many.
func TestUnmarshalTruncated(t *testing.T) {
	b := goldenBytes(t)
	for n := range b {
		if _, err := Parse(b[:n:n]); !errors.Is(err, ErrFormat) {
			t.Errorf("first %d bytes: %v, want ErrFormat", n, err)
		}
	}
	if _, err := Parse(append(bytes.Clone(b), 0)); !errors.Is(err, ErrFormat) {
		t.Errorf("one byte more: %v, want ErrFormat", err)
	}
}

func TestUnmarshalMalformed(t *testing.T) {
	const optionsAt = encodingFixed
	for _, test := range []struct {
		name string
		at   int
		with []byte
		want error
	}{
		{"magic", 0, []byte("TCPE"), ErrFormat},
		{"version 0", 4, []byte{0}, ErrVersion},
		{"version 2", 4, []byte{2}, ErrVersion},
		{"state", 5, []byte{byte(SynSent)}, ErrState},
		{"unknown flag", 6, []byte{0x80, 0}, ErrVersion},
		{"IPv4-mapped", 8, []byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, ErrFormat},
		{"MSS 0", 72, []byte{0, 0}, ErrFormat},
		{"scale", 74, []byte{15}, ErrFormat},
		{"queue of 4 GB", 80, []byte{0xff, 0xff, 0xff, 0xff}, ErrTooLarge},
		{"queues whose sum is right modulo 2^32", 80, []byte{0x80, 0, 0, 4, 0x80, 0, 0, 8}, ErrTooLarge},
		{"queue longer than the message", 80, []byte{0, 0, 0, 5}, ErrFormat},
		{"options longer than allowed", 92, []byte{0xff, 0xff}, ErrTooLarge},
		{"options longer than the message", 92, []byte{0, 0xff}, ErrFormat},
		{"options cut off", 88, []byte{0, 0, 0, 7, 0, 0x46}, ErrFormat},
		{"reserved", 94, []byte{1}, ErrFormat},
		{"option number 0", optionsAt, []byte{0}, ErrFormat},
		{"option twice", optionsAt + 2, []byte{1}, ErrFormat},
		{"option out of order", optionsAt + 4, []byte{1}, ErrFormat},
		{"option beyond the end", optionsAt + 1, []byte{0xff}, ErrFormat},
		{"flag with a value", optionsAt + 1, []byte{2}, ErrFormat},
		{"number as a flag", optionsAt, []byte{1, 4, 0, 0, 0, 0}, ErrFormat},
		{"flag as a number", optionsAt + 4, []byte{4}, ErrFormat},
		{"negative", optionsAt + 8, []byte{0xff}, ErrFormat},
		{"NUL in a name", optionsAt + 6 + 24 + 2, []byte{0}, ErrFormat},
		{"traffic class 256", optionsAt + 6 + 24 + 5 + 12 + 4 + 4, []byte{1}, ErrFormat},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := goldenBytes(t)
			copy(b[test.at:], test.with)
			e := Endpoint{MSS: 7}
			err := e.UnmarshalBinary(b)
			if !errors.Is(err, test.want) {
				t.Errorf("%v, want %v", err, test.want)
			}
			if diff := cmp.Diff(Endpoint{MSS: 7}, e, compareAddrs); diff != "" {
				t.Errorf("changed by what was refused:\n%s", diff)
			}
		})
	}
}

// A newer donor's options are skipped, whatever they hold.
func TestUnmarshalNewerOptions(t *testing.T) {
	e := sampleEndpoint()
	e.Sent, e.Unsent, e.Received = nil, nil, nil
	b, err := e.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	newer := append(bytes.Clone(b), 200, 0, 201, 3, 1, 2, 3)
	newer[93] += 7
	var got Endpoint
	if err := got.UnmarshalBinary(newer); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(e, &got, compareAddrs, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("decoded (-want +got):\n%s", diff)
	}
}

func drawEndpoint(t *rapid.T) *Endpoint {
	addr := func(name string) netip.AddrPort {
		a := [16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, name))
		a[0] = 0x20
		return netip.AddrPortFrom(netip.AddrFrom16(a), rapid.Uint16Min(1).Draw(t, name+" port"))
	}
	positive := rapid.Int32Min(0)
	flag := func(name string) bool { return rapid.Bool().Draw(t, name) }
	queue := rapid.SliceOfN(rapid.Byte(), 0, 40)
	e := &Endpoint{
		Local: addr("local"), Remote: addr("remote"),
		State:    rapid.SampledFrom([]State{Established, CloseWait, FinWait1, FinWait2}).Draw(t, "state"),
		SendNext: rapid.Uint32().Draw(t, "write_seq"), ReceiveNext: rapid.Uint32().Draw(t, "rcv_nxt"),
		MSS:           rapid.Uint16Min(minMSS).Draw(t, "mss"),
		WindowScaling: flag("scaling"), SACK: flag("sack"), Timestamps: flag("timestamps"),
		Received: queue.Draw(t, "received"),
		Options: Options{
			NoDelay: flag("nodelay"), Cork: flag("cork"), KeepAlive: flag("keepalive"),
			KeepAliveIdle: positive.Draw(t, "idle"), KeepAliveInterval: positive.Draw(t, "interval"), KeepAliveCount: positive.Draw(t, "count"),
			UserTimeout: positive.Draw(t, "user timeout"),
			Congestion:  rapid.StringMatching(`[a-z_0-9]{0,15}`).Draw(t, "congestion"),
			SendBuffer:  rapid.Uint32Max(maxBuffer).Draw(t, "sndbuf"), ReceiveBuffer: rapid.Uint32Max(maxBuffer).Draw(t, "rcvbuf"),
			SendBufferLocked: flag("sndlock"), ReceiveBufferLocked: flag("rcvlock"),
			TrafficClass: rapid.Byte().Draw(t, "tclass"), NotSentLowat: rapid.Uint32().Draw(t, "lowat"),
			OOBInline: flag("oobinline"), Linger: flag("linger"),
			CongestionWindow: rapid.Uint32().Draw(t, "cwnd"), SegmentSize: rapid.Uint32Max(1<<16-1).Draw(t, "segment size"),
		},
	}
	e.ReadShut = e.State == CloseWait || flag("read shut")
	if e.State != FinWait2 {
		e.Sent, e.Unsent = queue.Draw(t, "sent"), queue.Draw(t, "unsent")
	}
	if e.WindowScaling {
		e.SendScale, e.ReceiveScale = rapid.ByteMax(14).Draw(t, "send scale"), rapid.ByteMax(14).Draw(t, "receive scale")
	}
	if e.Timestamps {
		e.TimestampMicro, e.Timestamp = flag("micro"), rapid.Uint32().Draw(t, "timestamp")
	}
	if e.Options.Linger {
		e.Options.LingerSeconds = positive.Draw(t, "linger time")
	}
	e.Window.MaxWindow = rapid.Uint32().Draw(t, "max window")
	e.Window.SendWindow = rapid.Uint32Max(e.Window.MaxWindow).Draw(t, "window")
	e.Window.ReceiveWindow = rapid.Uint32Max(1<<30).Draw(t, "receive window")
	e.Window.SendWL1 = e.ReceiveNext + e.Window.ReceiveWindow - rapid.Uint32Max(1<<30).Draw(t, "wl1")
	e.Window.ReceiveWUP = e.ReceiveNext - rapid.Uint32Max(1<<30).Draw(t, "wup")
	return e
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := drawEndpoint(t)
		b, err := e.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		if len(b) > MaxEncoded {
			t.Fatalf("%d bytes, at most %d", len(b), MaxEncoded)
		}
		var got Endpoint
		if err := got.UnmarshalBinary(b); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(e, &got, compareAddrs, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	})
}

// FuzzUnmarshal: nothing crashes, nothing that is accepted is refused again, and
// what is known comes out as it went in.
func FuzzUnmarshal(f *testing.F) {
	f.Add(goldenBytes(f))
	f.Add(goldenBytes(f)[:encodingFixed])
	f.Add([]byte(encodingMagic + "\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var e Endpoint
		if err := e.UnmarshalBinary(b); err != nil {
			if !errors.Is(err, ErrFormat) && !errors.Is(err, ErrVersion) && !errors.Is(err, ErrState) && !errors.Is(err, ErrTooLarge) {
				t.Fatalf("an error of no kind: %v", err)
			}
			return
		}
		again, err := e.MarshalBinary()
		if err != nil {
			t.Fatalf("accepted, and cannot be encoded: %v", err)
		}
		var second Endpoint
		if err := second.UnmarshalBinary(again); err != nil {
			t.Fatalf("its own encoding is refused: %v", err)
		}
		if diff := cmp.Diff(e, second, compareAddrs); diff != "" {
			t.Fatalf("(-first +second):\n%s", diff)
		}
	})
}

package tcpcp

import (
	"bytes"
	"errors"
	"net/netip"
	"testing"
)

// sampleEndpoint has something in every field.
func sampleEndpoint() *Endpoint {
	return &Endpoint{
		Local:  netip.MustParseAddrPort("[2001:db8:9::1]:4000"),
		Remote: netip.MustParseAddrPort("[2001:db8:a::10]:50123"),
		State:  FinWait1, ReadShut: true,
		SendNext: 0x01020304, ReceiveNext: 0x11121314,
		Window: Window{SendWL1: 0x11121310, SendWindow: 0x21222324, MaxWindow: 0x31323334, ReceiveWindow: 0x41424344, ReceiveWUP: 0x11121312},
		MSS:    1440, WindowScaling: true, SendScale: 7, ReceiveScale: 10,
		SACK: true, Timestamps: true, TimestampMicro: true, Timestamp: 0x51525354,
		Sent: []byte("sent"), Unsent: []byte("not sent"), Received: []byte("unread"),
		Options: Options{
			NoDelay: true, Cork: true,
			KeepAlive: true, KeepAliveIdle: 60, KeepAliveInterval: 10, KeepAliveCount: 3, UserTimeout: 30000,
			Congestion: "bbr",
			SendBuffer: 0x61626, ReceiveBuffer: 0x71727, SendBufferLocked: true, ReceiveBufferLocked: true,
			TrafficClass: 0xb8, NotSentLowat: 16384, OOBInline: true, Linger: true, LingerSeconds: 0,
			CongestionWindow: 44, SegmentSize: 1208,
		},
	}
}

type badEndpoint struct {
	name   string
	change func(e *Endpoint)
	want   error
}

func (b badEndpoint) endpoint() *Endpoint {
	e := sampleEndpoint()
	b.change(e)
	return e
}

func badEndpoints() []badEndpoint {
	return []badEndpoint{
		{"LISTEN", func(e *Endpoint) { e.State = Listen }, ErrState},
		{"LAST_ACK", func(e *Endpoint) { e.State = LastAck }, ErrState},
		{"state 0", func(e *Endpoint) { e.State = 0 }, ErrState},
		{"state 255", func(e *Endpoint) { e.State = 255 }, ErrState},
		{"CLOSE_WAIT that can receive", func(e *Endpoint) { e.State, e.ReadShut = CloseWait, false }, ErrFormat},
		{"FIN_WAIT2 with bytes to send", func(e *Endpoint) { e.State = FinWait2 }, ErrFormat},
		{"no local address", func(e *Endpoint) { e.Local = netip.AddrPort{} }, ErrFormat},
		{"IPv4", func(e *Endpoint) { e.Local = netip.MustParseAddrPort("192.0.2.1:1") }, ErrFormat},
		{"IPv4-mapped", func(e *Endpoint) { e.Remote = netip.MustParseAddrPort("[::ffff:192.0.2.1]:1") }, ErrFormat},
		{"unspecified", func(e *Endpoint) { e.Local = netip.MustParseAddrPort("[::]:1") }, ErrFormat},
		{"multicast", func(e *Endpoint) { e.Remote = netip.MustParseAddrPort("[ff02::1]:1") }, ErrFormat},
		{"link-local", func(e *Endpoint) { e.Remote = netip.MustParseAddrPort("[fe80::1]:1") }, ErrFormat},
		{"zone", func(e *Endpoint) { e.Remote = netip.MustParseAddrPort("[2001:db8::1%2]:1") }, ErrFormat},
		{"port 0", func(e *Endpoint) { e.Remote = netip.AddrPortFrom(e.Remote.Addr(), 0) }, ErrFormat},
		{"MSS too small", func(e *Endpoint) { e.MSS = 47 }, ErrFormat},
		{"send scale", func(e *Endpoint) { e.SendScale = 15 }, ErrFormat},
		{"receive scale", func(e *Endpoint) { e.ReceiveScale = 15 }, ErrFormat},
		{"scale without scaling", func(e *Endpoint) { e.WindowScaling = false }, ErrFormat},
		{"timestamp without timestamps", func(e *Endpoint) { e.Timestamps, e.TimestampMicro = false, false }, ErrFormat},
		{"microseconds without timestamps", func(e *Endpoint) { e.Timestamps, e.Timestamp = false, 0 }, ErrFormat},
		{"window above its maximum", func(e *Endpoint) { e.Window.SendWindow = e.Window.MaxWindow + 1 }, ErrFormat},
		{"WL1 beyond the window", func(e *Endpoint) { e.Window.SendWL1 = e.ReceiveNext + e.Window.ReceiveWindow + 1 }, ErrFormat},
		{"window update in the future", func(e *Endpoint) { e.Window.ReceiveWUP = e.ReceiveNext + 1 }, ErrFormat},
		{"too many bytes", func(e *Endpoint) { e.Received = make([]byte, MaxQueues) }, ErrTooLarge},
		{"congestion control's name is long", func(e *Endpoint) { e.Options.Congestion = "sixteen letters!" }, ErrFormat},
		{"congestion control's name has a NUL", func(e *Endpoint) { e.Options.Congestion = "cu\x00bic" }, ErrFormat},
		{"negative keepalive", func(e *Endpoint) { e.Options.KeepAliveIdle = -1 }, ErrFormat},
		{"segments too long", func(e *Endpoint) { e.Options.SegmentSize = 1 << 16 }, ErrFormat},
		{"negative linger", func(e *Endpoint) { e.Options.LingerSeconds = -1 }, ErrFormat},
		{"huge buffer", func(e *Endpoint) { e.Options.SendBuffer = maxBuffer + 1 }, ErrFormat},
	}
}

func TestValidate(t *testing.T) {
	if err := sampleEndpoint().Validate(); err != nil {
		t.Fatalf("the sample: %v", err)
	}
	for _, test := range badEndpoints() {
		t.Run(test.name, func(t *testing.T) {
			err := test.endpoint().Validate()
			if !errors.Is(err, test.want) {
				t.Errorf("%v, want %v", err, test.want)
			}
			if _, err := test.endpoint().MarshalBinary(); !errors.Is(err, test.want) {
				t.Errorf("MarshalBinary: %v, want %v", err, test.want)
			}
		})
	}
}

// Sequence numbers of the queues' first bytes, over the end of the number space.
func TestQueueStart(t *testing.T) {
	for _, test := range []struct {
		name          string
		e             Endpoint
		send, receive uint32
	}{
		{"empty", Endpoint{State: Established, SendNext: 10, ReceiveNext: 20}, 10, 20},
		{"queues", Endpoint{State: Established, SendNext: 10, ReceiveNext: 20, Sent: []byte("abc"), Unsent: []byte("de"), Received: []byte("fghi")}, 5, 16},
		{"wrapped", Endpoint{State: Established, SendNext: 1, ReceiveNext: 0, Sent: []byte("abc"), Received: []byte("f")}, 1<<32 - 2, 1<<32 - 1},
		{"own FIN", Endpoint{State: FinWait1, SendNext: 10, Sent: []byte("abc")}, 6, 0},
		{"own FIN acknowledged", Endpoint{State: FinWait2, SendNext: 10}, 9, 0},
		{"peer's FIN", Endpoint{State: CloseWait, ReadShut: true, SendNext: 10, ReceiveNext: 20, Received: []byte("abc")}, 10, 17},
	} {
		if got := test.e.sendStart(); got != test.send {
			t.Errorf("%s: send queue starts at %d, want %d", test.name, got, test.send)
		}
		if got := test.e.receiveStart(); got != test.receive {
			t.Errorf("%s: receive queue starts at %d, want %d", test.name, got, test.receive)
		}
	}
}

func TestErrorText(t *testing.T) {
	e := &Error{Op: "insert", Call: "connect", Tuple: sampleEndpoint().Tuple(), Kind: ErrExists, Err: errors.New("the kernel's reason")}
	const want = "tcpcp: insert [2001:db8:9::1]:4000<->[2001:db8:a::10]:50123: connect: connection exists on this host: the kernel's reason"
	if e.Error() != want {
		t.Errorf("%s\nwant %s", e, want)
	}
	if got := wrap("other", FourTuple{}, e); got != error(e) {
		t.Errorf("an *Error is wrapped again: %v", got)
	}
	if !bytes.Contains([]byte(State(99).String()), []byte("99")) || Closing.String() != "CLOSING" {
		t.Error("names of states")
	}
}

// What a socket without memory says of its window can be set at another.
func TestConfineWindow(t *testing.T) {
	next := uint32(0xffff_fff0)
	for _, c := range []struct{ wl1, window, want uint32 }{
		{next + 100, 0, next},           // taken back
		{next + 100, 50, next + 50},     // in part
		{next + 100, 100, next + 100},   // as it is mostly
		{next - 1000, 0, next - 1000},   // older
		{next - 1, 1 << 20, next - 1},   // around zero
		{next + 40, 1 << 20, next + 40}, // the same
	} {
		w := Window{SendWL1: c.wl1, SendWindow: 1, MaxWindow: 1, ReceiveWindow: c.window, ReceiveWUP: next}
		w.confine(next)
		if w.SendWL1 != c.want || w.validate(next) != nil {
			t.Errorf("SND.WL1 %d, window %d: %d, %v, want %d", c.wl1, c.window, w.SendWL1, w.validate(next), c.want)
		}
	}
}

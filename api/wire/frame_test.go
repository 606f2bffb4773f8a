package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var compareAddr = cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{})

func TestParsePrefix(t *testing.T) {
	for _, tt := range []struct {
		name           string
		b              []byte
		message, state int
		bad            bool
	}{
		{name: "message only", b: []byte{0, 0, 0, 2, 0, 0, 0, 0}, message: 2},
		{name: "with state", b: []byte{0, 0, 1, 0, 0, 0x10, 0, 0}, message: 256, state: MaxState},
		{name: "largest message", b: []byte{0, 0, 0x40, 0, 0, 0, 0, 0}, message: MaxMessage},
		{name: "no message", b: make([]byte, 8), bad: true},
		{name: "message too long", b: []byte{0, 0, 0x40, 1, 0, 0, 0, 0}, bad: true},
		{name: "state too long", b: []byte{0, 0, 0, 2, 0, 0x10, 0, 1}, bad: true},
		{name: "all ones", b: bytes.Repeat([]byte{0xff}, 8), bad: true},
		{name: "short", b: []byte{0, 0, 0, 2, 0, 0, 0}, bad: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, s, err := parsePrefix(tt.b)
			if m != tt.message || s != tt.state || errors.Is(err, ErrFrame) != tt.bad {
				t.Errorf("parsePrefix = %d, %d, %v; want %d, %d, bad %t", m, s, err, tt.message, tt.state, tt.bad)
			}
		})
	}
}

// TestMessageText pins what other languages see.
func TestMessageText(t *testing.T) {
	clear := false
	for _, tt := range []struct {
		m    Message
		text string
	}{
		{Message{Kind: KindAccept, N: 2}, `{"kind":"accept","n":2}`},
		{Message{Kind: KindClose, Client: 7, Abort: true, Clear: &clear}, `{"kind":"close","client":7,"abort":true,"clear":false}`},
		{Message{Kind: KindHandoff, Client: 7, Target: netip.MustParseAddr("2001:db8::1"), Nonblocking: true},
			`{"kind":"handoff","client":7,"target":"2001:db8::1","nonblocking":true}`},
		{Message{Kind: KindDelivered, Client: 7, ID: 1, Service: "echo", Local: netip.MustParseAddrPort("[2001:db8:9::1]:4000"),
			Remote: netip.MustParseAddrPort("[2001:db8:a::1]:1"), HandedOff: true, From: netip.MustParseAddr("2001:db8::1"), Since: time.Unix(0, 0).UTC()},
			`{"kind":"client","client":7,"id":1,"service":"echo","local":"[2001:db8:9::1]:4000","remote":"[2001:db8:a::1]:1","handed_off":true,"from":"2001:db8::1","since":"1970-01-01T00:00:00Z"}`},
		{Message{Kind: KindResult, Client: 7, Failure: &Failure{Code: CodeNoTarget, Text: "none"}},
			`{"kind":"result","client":7,"failure":{"code":"no-target","text":"none"}}`},
	} {
		got, err := json.Marshal(tt.m)
		if err != nil || string(got) != tt.text {
			t.Errorf("got %s, %v\nwant %s", got, err, tt.text)
		}
		back, err := ParseMessage([]byte(tt.text), 0)
		if err != nil {
			t.Errorf("%s: %v", tt.text, err)
		} else if diff := cmp.Diff(&tt.m, back, compareAddr); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.text, diff)
		}
	}
}

func TestParseMessageBad(t *testing.T) {
	for text, state := range map[string]int{
		``: 0, `{`: 0, `[]`: 0, `null`: 0, `{}`: 0, `{"kind":"dance"}`: 0,
		`{"kind":"accept"}`:                                     0,
		`{"kind":"accept","n":-1}`:                              0,
		`{"kind":"accept","n":1025}`:                            0,
		`{"kind":"accept","n":1e99}`:                            0,
		`{"kind":"close","client":1}`:                           1,
		`{"kind":"close","client":-1}`:                          0,
		`{"kind":"handoff","client":1,"target":"2001:db8::zz"}`: 0,
		`{"kind":"fault"}`:                                      0,
		`{"kind":"accept","n":1} x`:                             0,
	} {
		if m, err := ParseMessage([]byte(text), state); !errors.Is(err, ErrFrame) {
			t.Errorf("%s with %d bytes of state: %+v, %v; want ErrFrame", text, state, m, err)
		}
	}
}

func TestAppendFrameBounds(t *testing.T) {
	if _, err := appendFrame(nil, &Message{Kind: KindHandoff, Client: 1}, make([]byte, MaxState+1)); !errors.Is(err, ErrFrame) {
		t.Errorf("state too long: %v", err)
	}
	if _, err := appendFrame(nil, &Message{Kind: KindFault, Failure: &Failure{Text: strings.Repeat("x", MaxMessage)}}, nil); !errors.Is(err, ErrFrame) {
		t.Errorf("message too long: %v", err)
	}
	b, err := appendFrame([]byte{1}, &Message{Kind: KindHandoff, Client: 1}, make([]byte, MaxState))
	if err != nil || b[0] != 1 {
		t.Errorf("largest state: %v", err)
	}
}

// readFrame parses a frame out of bytes as Session.Receive does out of a socket.
func readFrame(b []byte) (*Frame, []byte, error) {
	if len(b) < prefixLength {
		return nil, b, io.ErrUnexpectedEOF
	}
	m, n, err := parsePrefix(b[:prefixLength])
	if err != nil {
		return nil, b, err
	}
	b = b[prefixLength:]
	if len(b) < m+n {
		return nil, b, io.ErrUnexpectedEOF
	}
	msg, err := ParseMessage(b[:m], n)
	if err != nil {
		return nil, b, err
	}
	f := &Frame{Message: msg, FD: -1}
	if n > 0 {
		f.State = b[m : m+n]
	}
	return f, b[m+n:], nil
}

// FuzzFrame: what can be read can be written, and is read as the same again.
func FuzzFrame(f *testing.F) {
	clear := true
	for _, m := range []*Message{
		{Kind: KindAccept, N: 1},
		{Kind: KindClose, Client: 1, Clear: &clear},
		{Kind: KindHandoff, Client: 1 << 60, Target: netip.MustParseAddr("fe80::1%eth0")},
		{Kind: KindResult, Client: 2, Failure: &Failure{Code: CodeGone, Target: netip.MustParseAddr("::1"), Text: "\x00é"}},
	} {
		var state []byte
		if carries[m.Kind].state {
			state = []byte("state")
		}
		b, err := appendFrame(nil, m, state)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for {
			frame, rest, err := readFrame(b)
			if err != nil {
				if !errors.Is(err, ErrFrame) && !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Fatalf("strange error: %v", err)
				}
				return
			}
			again, err := appendFrame(nil, frame.Message, frame.State)
			if errors.Is(err, ErrFrame) { // JSON may grow by escapes
				b = rest
				continue
			}
			if err != nil {
				t.Fatalf("%+v cannot be written: %v", frame.Message, err)
			}
			second, _, err := readFrame(again)
			if err != nil {
				t.Fatalf("%q: %v", again, err)
			}
			if diff := cmp.Diff(frame, second, compareAddr); diff != "" {
				t.Fatalf("not the same again (-first +second):\n%s", diff)
			}
			b = rest
		}
	})
}

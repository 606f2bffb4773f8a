package peer

import (
	"bytes"
	"encoding/hex"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestGoldenFrames(t *testing.T) {
	for _, tt := range []struct {
		name string
		hex  string
		want header
	}{
		{"request", "00000003 02 00 04 00 0000000000000001", header{length: 3, typ: frameRequest, kind: 4, id: 1}},
		{"fragment", "00010000 02 01 04 00 0102030405060708", header{length: 65536, typ: frameRequest, more: true, kind: 4, id: 0x0102030405060708}},
		{"response", "00000000 03 00 00 00 0000000000000001", header{typ: frameResponse, id: 1}},
		{"error", "00000002 04 00 00 00 0000000000000001", header{length: 2, typ: frameError, id: 1}},
		{"cancel", "00000000 05 00 00 00 0000000000000001", header{typ: frameCancel, id: 1}},
		{"ping", "00000000 06 00 00 00 0000000000000000", header{typ: framePing}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, err := hex.DecodeString(strings.ReplaceAll(tt.hex, " ", ""))
			if err != nil {
				t.Fatal(err)
			}
			got, err := parseHeader(b)
			if err != nil || got != tt.want {
				t.Errorf("parsed %+v, %v; want %+v", got, err, tt.want)
			}
			if !bytes.Equal(tt.want.append(nil), b) {
				t.Errorf("encoded % x, want % x", tt.want.append(nil), b)
			}
		})
	}
}

func TestBadHeaders(t *testing.T) {
	for name, s := range map[string]string{
		"type 0":             "00000000 00 00 00 00 0000000000000001",
		"unknown type":       "00000000 07 00 00 00 0000000000000001",
		"too long":           "00010001 02 00 04 00 0000000000000001",
		"unknown flag":       "00000000 02 02 04 00 0000000000000001",
		"reserved":           "00000000 02 00 04 01 0000000000000001",
		"fragmented error":   "00000001 04 01 00 00 0000000000000001",
		"empty fragment":     "00000000 02 01 04 00 0000000000000001",
		"request, no kind":   "00000000 02 00 00 00 0000000000000001",
		"response with kind": "00000000 03 00 04 00 0000000000000001",
		"request, no id":     "00000000 02 00 04 00 0000000000000000",
		"ping with id":       "00000000 06 00 00 00 0000000000000001",
		"ping with content":  "00000001 06 00 00 00 0000000000000000",
	} {
		b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		var breach *ProtocolError
		if h, err := parseHeader(b); !errors.As(err, &breach) {
			t.Errorf("%s: parsed %+v, %v", name, h, err)
		}
	}
}

func TestHello(t *testing.T) {
	h := hello{maxMessage: 1 << 20, maxInFlight: 7, heartbeat: 1500 * time.Millisecond}
	got, err := parseHello(append(h.marshal(), "of a later version"...))
	if err != nil || got != h {
		t.Errorf("got %+v, %v; want %+v", got, err, h)
	}
	good := h.marshal()
	for name, at := range map[string]int{"magic": 0, "version": 9, "message": 12, "in flight": 16, "heartbeat": 20} {
		b := bytes.Clone(good)
		b[at] ^= 0xff
		if name == "version" {
			b[at] = 0
		}
		if got, err := parseHello(b); err == nil {
			t.Errorf("%s damaged: parsed %+v", name, got)
		}
	}
	for n := range good {
		if _, err := parseHello(good[:n]); err == nil {
			t.Errorf("parsed %d bytes of it", n)
		}
	}
}

// Whatever is queued, and in whatever batches it leaves, comes out at the other
// end, each message once and whole.
func TestQueueToAssembler(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var q sendQueue
		want := make(map[uint64]int)
		for id := uint64(1); id <= uint64(rapid.IntRange(1, 8).Draw(t, "messages")); id++ {
			n := rapid.SampledFrom([]int{0, 1, maxFragment - 1, maxFragment, maxFragment + 1, 3*maxFragment + 5}).Draw(t, "length")
			body := bytes.Repeat([]byte{byte(id)}, n)
			q.push(&outgoing{typ: frameRequest, kind: 1, id: id, body: body})
			want[id] = n
		}
		a := newAssembler(1<<20, 8, newBudget(1<<30), nil)
		got := make(map[uint64]int)
		for !q.empty() {
			batch := q.fill(nil, rapid.IntRange(1, 1<<18).Draw(t, "batch"))
			r := bytes.NewReader(batch)
			for r.Len() > 0 {
				h, payload, err := readFrame(r, make([]byte, headerLen+maxFragment))
				if err != nil {
					t.Fatal(err)
				}
				m, err := a.add(h, payload)
				if err != nil {
					t.Fatal(err)
				}
				if m == nil {
					continue
				}
				if _, twice := got[m.id]; twice || !bytes.Equal(m.body, bytes.Repeat([]byte{byte(m.id)}, len(m.body))) {
					t.Fatalf("message %d is damaged or double", m.id)
				}
				got[m.id] = len(m.body)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

// FuzzFrames feeds a stream of anything to what a connection reads with: no
// panic, no more memory than agreed, and what is accepted encodes to the same.
func FuzzFrames(f *testing.F) {
	ping := header{typ: framePing}.append(nil)
	request := append(header{length: 3, typ: frameRequest, kind: 4, id: 1}.append(nil), "abc"...)
	part := append(header{length: 3, typ: frameRequest, more: true, kind: 4, id: 2}.append(nil), "abc"...)
	last := append(header{length: 1, typ: frameRequest, kind: 4, id: 2}.append(nil), "d"...)
	f.Add(append(ping, request...))
	f.Add(append(part, last...))
	f.Add(append(header{length: helloLen, typ: frameHello}.append(nil), testHello.marshal()...))
	f.Add(append(header{length: 4, typ: frameError, id: 1}.append(nil), 0, 1, 'n', 'o'))
	f.Fuzz(func(t *testing.T, b []byte) {
		const maxMessage, maxInFlight = 100, 3
		const total = 2 * maxMessage
		budget := newBudget(total)
		a := newAssembler(maxMessage, maxInFlight, budget, func(id uint64) bool { return id%2 == 0 })
		r := bytes.NewReader(b)
		buf := make([]byte, headerLen+maxFragment)
		held := 0
		for {
			start := len(b) - r.Len()
			h, payload, err := readFrame(r, buf)
			if err != nil {
				break
			}
			if again := append(h.append(nil), payload...); !bytes.Equal(again, b[start:start+len(again)]) {
				t.Fatalf("% x was parsed as %+v, which is % x", b[start:start+len(again)], h, again)
			}
			switch h.typ {
			case frameHello:
				if hi, err := parseHello(payload); err == nil {
					if again, err := parseHello(hi.marshal()); err != nil || again != hi {
						t.Fatalf("%+v became %+v, %v", hi, again, err)
					}
				}
				continue
			case framePing:
				continue
			case frameCancel:
				a.dropRequest(h.id)
				continue
			}
			m, err := a.add(h, payload)
			if err != nil {
				break
			}
			if m != nil {
				held += len(m.body)
				if m.typ == frameError {
					if e, err := parseRemoteError(m.body); err == nil && !bytes.Equal(e.marshal(), m.body) {
						t.Fatalf("%v encodes to % x, not % x", e, e.marshal(), m.body)
					}
				}
				if len(m.body) > maxMessage {
					t.Fatalf("message of %d bytes", len(m.body))
				}
			}
			if left := budget.left.Load(); left < 0 || held > total {
				t.Fatalf("%d held, %d left of the budget", held, left)
			}
		}
	})
}

func TestRefusalLog(t *testing.T) {
	r := newRefusals(time.Minute)
	now := time.Unix(1000, 0)
	source := func(i int) netip.Addr { return netip.AddrFrom16([16]byte{0x20, 1, 14: byte(i >> 8), 15: byte(i)}) }
	if !r.shouldLog(source(0), now) || r.shouldLog(source(0), now.Add(59*time.Second)) || !r.shouldLog(source(0), now.Add(time.Minute)) {
		t.Error("a source is not logged exactly once per interval")
	}
	for i := range 2 * maxRefusals {
		r.shouldLog(source(i), now.Add(time.Minute))
	}
	if len(r.last) > maxRefusals {
		t.Errorf("%d sources are remembered", len(r.last))
	}
	if r.shouldLog(source(5000), now.Add(time.Minute)) {
		t.Error("logged without room to remember it")
	}
	if !r.shouldLog(source(5000), now.Add(3*time.Minute)) {
		t.Error("not logged though the others are long past")
	}
}

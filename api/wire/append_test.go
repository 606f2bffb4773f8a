package wire

import (
	"encoding/json"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Whatever the message is, its bytes are those of encoding/json.
func TestAppendMessageIsJSON(t *testing.T) {
	addr := rapid.Custom(func(t *rapid.T) netip.Addr {
		b := rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "address")
		switch rapid.IntRange(0, 3).Draw(t, "kind of address") {
		case 0:
			return netip.Addr{}
		case 1:
			return netip.AddrFrom4([4]byte(b))
		case 2:
			return netip.AddrFrom16([16]byte(b)).WithZone("eth0")
		}
		return netip.AddrFrom16([16]byte(b))
	})
	port := rapid.Uint16()
	text := rapid.OneOf(rapid.StringMatching(`[a-z0-9-]{0,12}`), rapid.String())
	rapid.Check(t, func(t *rapid.T) {
		m := &Message{
			Kind:   Kind(text.Draw(t, "kind")),
			Client: rapid.Uint64().Draw(t, "client"), Tag: rapid.Uint64().Draw(t, "tag"), N: rapid.Int().Draw(t, "n"),
			Target: addr.Draw(t, "target"), Nonblocking: rapid.Bool().Draw(t, "nonblocking"), Abort: rapid.Bool().Draw(t, "abort"),
			ID: rapid.Uint64().Draw(t, "id"), Service: text.Draw(t, "service"),
			Local:     netip.AddrPortFrom(addr.Draw(t, "local"), port.Draw(t, "local port")),
			Remote:    netip.AddrPortFrom(addr.Draw(t, "remote"), port.Draw(t, "remote port")),
			HandedOff: rapid.Bool().Draw(t, "handed off"), From: addr.Draw(t, "from"),
		}
		if rapid.Bool().Draw(t, "with a time") {
			m.Since = time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "since"), rapid.Int64Range(0, 999_999_999).Draw(t, "nanoseconds")).
				In(time.FixedZone("there", 60*rapid.IntRange(-720, 720).Draw(t, "zone")))
		}
		if rapid.Bool().Draw(t, "with clear") {
			m.Clear = new(bool)
		}
		if rapid.Bool().Draw(t, "with a failure") {
			m.Failure = &Failure{Code: CodeFailed, Text: text.Draw(t, "text")}
		}
		want, wantErr := json.Marshal(m)
		got, err := appendMessage(nil, m)
		if (err != nil) != (wantErr != nil) || err == nil && string(got) != string(want) {
			t.Fatalf("got  %s, %v\nwant %s, %v", got, err, want, wantErr)
		}
	})
}

// The messages of a handoff are written into the session's buffer and nowhere else.
func TestAppendMessageAllocations(t *testing.T) {
	m := &Message{
		Kind: KindDelivered, Client: 7, ID: 99, Service: "echo", HandedOff: true, Since: time.Unix(1e9, 1),
		Local: netip.MustParseAddrPort("[2001:db8:9::1]:4000"), Remote: netip.MustParseAddrPort("[2001:db8:a::10]:50000"),
		From: netip.MustParseAddr("2001:db8:1::10"),
	}
	buf := make([]byte, 0, MaxMessage)
	if allocs := testing.AllocsPerRun(1000, func() {
		if _, err := appendFrame(buf, m, nil); err != nil {
			t.Fatal(err)
		}
	}); allocs > 0 {
		t.Errorf("%v allocations", allocs)
	}
}

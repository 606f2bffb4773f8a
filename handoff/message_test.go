package handoff

import (
	"bytes"
	"encoding/hex"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var compare = cmp.Options{cmp.AllowUnexported(request{}, offer{}), cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{})}

func testRequest() *request {
	return &request{
		mode:    ModePrepared,
		attempt: attemptID{0: 0xa0, 15: 0xaf}, instance: 0x1122334455667788, budget: 7 * time.Second, id: 42, service: "echo",
		contact: netip.MustParseAddrPort("[2001:db8:9::1]:4000"), client: netip.MustParseAddrPort("[2001:db8:a::1]:40001"),
		mark: []byte{1, 2}, state: []byte("HiHa"), endpoint: []byte{9, 8, 7},
	}
}

func testOffer(donor netip.Addr) *offer {
	r := testRequest()
	return &offer{Offer: r.offer(donor), mode: r.mode, mark: r.mark}
}

const goldenRequest = `
	02 02 0000                           version, mode, reserved
	a00000000000000000000000000000af     attempt
	1122334455667788                     instance
	000000000000002a                     client id
	00001b58                             budget
	20010db8000900000000000000000001 0fa0
	20010db8000a00000000000000000001 9c41
	0004 6563686f                        service
	0002 0102                            mark
	00000004 48694861                    state
	00000003 090807                      endpoint`

// golden reads hexadecimal digits and drops the words behind them.
func golden(t *testing.T, s string) (b []byte) {
	t.Helper()
	for line := range strings.Lines(s) {
		line, _, _ = strings.Cut(line, "   ")
		for field := range strings.FieldsSeq(line) {
			part, err := hex.DecodeString(field)
			if err != nil {
				t.Fatal(err)
			}
			b = append(b, part...)
		}
	}
	return b
}

func TestRequestOnTheWire(t *testing.T) {
	want := golden(t, goldenRequest)
	if got := testRequest().marshal(); !bytes.Equal(got, want) {
		t.Errorf("encoded\n%x, want\n%x", got, want)
	}
	got, err := parseRequest(want)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(testRequest(), got, compare); diff != "" {
		t.Error(diff)
	}
}

func TestRequestLengths(t *testing.T) {
	b := testRequest().marshal()
	for n := range b {
		if r, err := parseRequest(b[:n]); !errors.Is(err, ErrMalformed) {
			t.Errorf("%d of %d bytes: parsed %+v, %v", n, len(b), r, err)
		}
	}
	if _, err := parseRequest(append(b, 0)); !errors.Is(err, ErrMalformed) {
		t.Errorf("a byte too many: %v", err)
	}
	b[0] = 1
	if _, err := parseRequest(b); !errors.Is(err, errVersion) {
		t.Errorf("version 1: %v", err)
	}
	for name, change := range map[string]func(*request){
		"mode":     func(r *request) { r.mode = modes },
		"no mode":  func(r *request) { r.mode = 0 },
		"service":  func(r *request) { r.service = strings.Repeat("x", MaxService+1) },
		"mark":     func(r *request) { r.mark = make([]byte, MaxMark+1) },
		"state":    func(r *request) { r.state = make([]byte, MaxState+1) },
		"endpoint": func(r *request) { r.endpoint = make([]byte, MaxEndpoint+1) },
		"contact":  func(r *request) { r.contact = netip.AddrPortFrom(netip.MustParseAddr("::ffff:192.0.2.1"), 80) },
		"client":   func(r *request) { r.client = netip.AddrPortFrom(r.client.Addr(), 0) },
	} {
		r := testRequest()
		change(r)
		if _, err := parseRequest(r.marshal()); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOfferAndQuestionOnTheWire(t *testing.T) {
	donor := netip.MustParseAddr("2001:db8:1::10")
	o := testOffer(donor)
	b := o.marshal()
	if want := golden(t, `02 02 0000 000000000000002a 00000004 20010db8000900000000000000000001 0fa0 20010db8000a00000000000000000001 9c41 0004 6563686f 0002 0102`); !bytes.Equal(b, want) {
		t.Errorf("offer encoded\n%x, want\n%x", b, want)
	}
	got, err := parseOffer(b, donor)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(o, got, compare); diff != "" {
		t.Error(diff)
	}
	if _, err := parseOffer(append([]byte{1}, b[1:]...), donor); !errors.Is(err, errVersion) {
		t.Errorf("offer of version 1: %v", err)
	}
	for name, change := range map[string]func(*offer){
		"mode":    func(o *offer) { o.mode = modes },
		"no mode": func(o *offer) { o.mode = 0 },
		"mark":    func(o *offer) { o.mark = make([]byte, MaxMark+1) },
		"service": func(o *offer) { o.Service = "" },
		"state":   func(o *offer) { o.StateBytes = MaxState + 1 },
		"client":  func(o *offer) { o.Client = netip.AddrPortFrom(o.Client.Addr(), 0) },
	} {
		o := testOffer(donor)
		change(o)
		if _, err := parseOffer(o.marshal(), donor); !errors.Is(err, ErrMalformed) {
			t.Errorf("offer with wrong %s: %v", name, err)
		}
	}
	for n := range b {
		if _, err := parseOffer(b[:n], donor); err == nil {
			t.Errorf("offer: parsed %d of %d bytes", n, len(b))
		}
	}
	id := attemptID{1, 2, 3}
	for _, abort := range []bool{false, true} {
		b := marshalQuestion(id, abort)
		if got, gotAbort, err := parseQuestion(b); err != nil || got != id || gotAbort != abort {
			t.Errorf("question parsed %x, %v, %v", got, gotAbort, err)
		}
		for n := range b {
			if _, _, err := parseQuestion(b[:n]); err == nil {
				t.Errorf("question: parsed %d of %d bytes", n, len(b))
			}
		}
	}
}

func TestOutcomeOnTheWire(t *testing.T) {
	for _, tt := range []struct {
		hex string
		o   Outcome
	}{
		{"02 01 00 00 02 000000 0000000000000007", Outcome{Verdict: VerdictAccepted, Mode: ModePrepared, Instance: 7}},
		{"02 01 00 00 00 000000 0000000000000007", Outcome{Verdict: VerdictAccepted, Instance: 7}},
		{"02 02 0a 01 00 000000 0000000000000007 6e6f", Outcome{Verdict: VerdictRefused, Reason: ReasonBind, Touched: true, Instance: 7, Text: "no"}},
		{"02 03 00 00 00 000000 0000000000000007", Outcome{Verdict: VerdictUnknown, Instance: 7}},
		{"02 04 00 00 00 000000 0000000000000007", Outcome{Verdict: VerdictPending, Instance: 7}},
	} {
		want := golden(t, tt.hex)
		if got := tt.o.marshal(); !bytes.Equal(got, want) {
			t.Errorf("%+v encoded %x, want %x", tt.o, got, want)
		}
		if got, err := parseOutcome(want); err != nil || got != tt.o {
			t.Errorf("%x parsed %+v, %v", want, got, err)
		}
	}
	for _, bad := range []string{
		"", "02 01 00 00 00 000000 00000000000000", // too short
		"01 01 00 00 0000000000000007",                                                     // version 1
		"02 00 00 00 00 000000 0000000000000007", "02 05 00 00 00 000000 0000000000000007", // verdicts
		"02 01 00 02 00 000000 0000000000000007",                                           // flags
		"02 01 00 00 ff 000000 0000000000000007", "02 01 00 00 02 000001 0000000000000007", // mode, reserved
	} {
		if o, err := parseOutcome(golden(t, bad)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q parsed %+v, %v", bad, o, err)
		}
	}
}

// The reasons' numbers are on the wire: a reason that is new to this replica is
// told, not refused.
func TestUnknownReason(t *testing.T) {
	o, err := parseOutcome(golden(t, "02 02 c8 00 00 000000 0000000000000007"))
	if err != nil || !strings.Contains(o.refusal().Error(), "reason 200") {
		t.Errorf("parsed %+v, %v", o, err)
	}
}

// FuzzMessages: what any of the parsers accepts encodes to the same bytes.
func FuzzMessages(f *testing.F) {
	donor := netip.MustParseAddr("2001:db8:1::10")
	f.Add(testRequest().marshal())
	f.Add(testOffer(donor).marshal())
	f.Add(marshalQuestion(attemptID{1}, true))
	f.Add(Outcome{Verdict: VerdictRefused, Reason: ReasonBind, Touched: true, Text: "no"}.marshal())
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := parseRequest(b); err == nil && !bytes.Equal(r.marshal(), b) {
			t.Errorf("request %x became %x", b, r.marshal())
		}
		if o, err := parseOffer(b, donor); err == nil && !bytes.Equal(o.marshal(), b) {
			t.Errorf("offer %x became %x", b, o.marshal())
		}
		if id, abort, err := parseQuestion(b); err == nil && !bytes.Equal(marshalQuestion(id, abort), b) {
			t.Errorf("question %x became %x", b, marshalQuestion(id, abort))
		}
		if o, err := parseOutcome(b); err == nil && !bytes.Equal(o.marshal(), b) {
			t.Errorf("outcome %x became %x", b, o.marshal())
		}
	})
}

// What is decided is remembered for as long as a donor may ask, and no longer;
// what does not fit is not begun.
func TestOutcomes(t *testing.T) {
	o := newOutcomes(2)
	now := time.Unix(1000, 0)
	key := func(i byte) attemptKey { return attemptKey{netip.MustParseAddr("2001:db8::1"), attemptID{i}} }
	a, fresh := o.begin(key(1), now)
	if !fresh {
		t.Fatal("a new attempt is known")
	}
	if again, fresh := o.begin(key(1), now); fresh || again != a {
		t.Error("the same attempt is begun twice")
	}
	o.decide(a, Outcome{Verdict: VerdictAccepted}, now)
	b, _ := o.begin(key(2), now)
	if c, _ := o.begin(key(3), now.Add(forgetOutcome-1)); c != nil {
		t.Error("a third is begun though two are remembered")
	}
	if c, fresh := o.begin(key(3), now.Add(forgetOutcome)); c == nil || !fresh {
		t.Error("a third is not begun though one may be forgotten")
	}
	if again, _ := o.begin(key(2), now.Add(2*forgetOutcome)); again != b {
		t.Error("an undecided attempt was forgotten")
	}
}

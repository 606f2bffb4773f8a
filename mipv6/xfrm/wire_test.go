package xfrm

import (
	"encoding/hex"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/mdlayher/netlink"
	"github.com/mdlayher/netlink/nlenc"
	"github.com/mdlayher/netlink/nltest"
	"golang.org/x/sys/unix"

	"github.com/vanycast/vanycast/mipv6/dataplane"
)

var (
	homeAddr   = netip.MustParseAddr("2001:db8:9::1")
	careOfAddr = netip.MustParseAddr("2001:db8:1::10")
	clientAddr = netip.MustParseAddr("2001:db8:a::10")
)

// The addresses in hexadecimal, and runs of bytes that have no other meaning.
const (
	h1 = "20010db8000900000000000000000001"
	c1 = "20010db8000100000000000000000010"
	cn = "20010db8000a00000000000000000010"

	zero    = "00000000000000000000000000000000"
	ports   = "0000000000000000"
	forever = "ffffffffffffffff" + "ffffffffffffffff" + "ffffffffffffffff" + "ffffffffffffffff" + zero + zero
	unused  = zero + zero // struct xfrm_lifetime_cur
)

// Every message, byte for byte as linux/xfrm.h has it (little-endian hosts).
func TestMessages(t *testing.T) {
	f := dataplane.Flow{Home: homeAddr, Client: clientAddr}
	optimised, held := flowRules(f, dataplane.Optimised, careOfAddr, false), flowRules(f, dataplane.Held, careOfAddr, false)
	connection := flowRules(dataplane.Flow{Home: homeAddr, Client: clientAddr, HomePort: 80, ClientPort: 40000}, dataplane.Optimised, careOfAddr, true)
	contact := contactRules(dataplane.Contact{Home: homeAddr, CareOf: careOfAddr, HomeAgent: clientAddr})
	selectors := func(src, dst string) string {
		return dst + src + ports + "0a00" + "8080" + "00" + "000000" + "00000000" + "00000000"
	}
	state := func(src, dst, proto, flags string) string {
		return zero + zero + ports + "0a00" + "0000" + "00" + "000000" + "00000000" + "00000000" + // selector
			dst + "00000000" + proto + "000000" + src + forever + unused +
			"000000000000000000000000" + // statistics
			"00000000" + "91000000" + "0a00" + "02" + "00" + flags + "00000000000000" // seq, reqid, family, mode, window, flags
	}
	coa := func(a string) string { return "1400" + "0e00" + a }
	template := func(src, dst, proto string) string {
		return "4400" + "0500" + dst + "00000000" + proto + "000000" + "0a00" + "0000" + src + "91000000" + "02" + "00" + "01" + "00" + "ffffffffffffffffffffffff"
	}
	const sub = "0a00" + "1000" + "010000000000" + "0000"
	policy := func(selector, priority, dir, action string) string {
		return selector + forever + unused + priority + "00000000" + dir + action + "00" + "00" + "00000000"
	}
	for name, c := range map[string]struct {
		message netlink.Message
		kind    netlink.HeaderType
		body    string
	}{
		"add a state":    {optimised.states[0].message(msgNewState), 0x10, state(h1, cn, "3c", "00") + coa(c1)},
		"change a state": {optimised.states[0].message(msgUpdateState), 0x1a, state(h1, cn, "3c", "00") + coa(c1)},
		"wild state":     {contact.states[0].message(msgNewState), 0x10, state(zero, h1, "2b", "08") + coa(c1)},
		"delete a state": {optimised.states[0].stateID.message(msgDelState), 0x11, cn + "00000000" + "0a00" + "3c" + "00" + "1400" + "0d00" + h1},
		"ask for a state": {optimised.states[0].stateID.message(msgGetState), 0x12,
			cn + "00000000" + "0a00" + "3c" + "00" + "1400" + "0d00" + h1},
		"policy out": {optimised.policies[0].message(msgUpdatePolicy), 0x19,
			policy(selectors(h1, cn), "9a360200", "01", "00") + template(h1, cn, "3c") + sub},
		"policy in": {optimised.policies[1].message(msgUpdatePolicy), 0x19,
			policy(selectors(cn, h1), "9a360200", "00", "00") + template(zero, zero, "2b") + sub},
		"policy out of a connection": {connection.policies[0].message(msgUpdatePolicy), 0x19,
			policy(cn+h1+"9c40"+"ffff"+"0050"+"ffff"+"0a00"+"8080"+"00"+"000000"+"00000000"+"00000000", "95360200", "01", "00") + template(h1, cn, "3c") + sub},
		"policy in of a connection": {connection.policies[1].message(msgUpdatePolicy), 0x19,
			policy(h1+cn+"0050"+"ffff"+"9c40"+"ffff"+"0a00"+"8080"+"00"+"000000"+"00000000"+"00000000", "95360200", "00", "00") + template(zero, zero, "2b") + sub},
		"block": {held.policies[0].message(msgUpdatePolicy), 0x19, policy(selectors(cn, h1), "86360200", "00", "01") + sub},
		"binding update only": {contact.policies[0].message(msgUpdatePolicy), 0x19,
			policy(cn+h1+"0000"+"0000"+"0005"+"ffff"+"0a00"+"8080"+"87"+"000000"+"00000000"+"00000000", "7c360200", "01", "00") + template(h1, cn, "3c") + sub},
		"delete a policy": {held.policies[0].policyID.message(msgDelPolicy), 0x14, selectors(cn, h1) + "00000000" + "00" + "000000" + sub},
	} {
		t.Run(name, func(t *testing.T) {
			if c.message.Header.Type != c.kind {
				t.Errorf("type %#x, want %#x", c.message.Header.Type, c.kind)
			}
			if d := cmp.Diff(lines(c.body), lines(hex.EncodeToString(c.message.Data))); d != "" {
				t.Errorf("body (-want +got):\n%s", d)
			}
		})
	}
}

func lines(s string) []string {
	var out []string
	for ; len(s) > 32; s = s[32:] {
		out = append(out, s[:32])
	}
	return append(out, s)
}

// What we write we read.
func TestRoundTrip(t *testing.T) {
	all := contactRules(dataplane.Contact{Home: homeAddr, CareOf: careOfAddr, HomeAgent: clientAddr})
	for _, s := range all.states {
		info, err := parseState(s.message(msgNewState))
		if err != nil || info.state != s || !info.ours() {
			t.Errorf("%v: %+v, %v", s, info, err)
		}
	}
	for _, q := range all.policies {
		info, err := parsePolicy(q.message(msgNewPolicy))
		if err != nil || info.policyID != q.policyID || info.priority != q.priority || !info.ours() {
			t.Errorf("%v: %+v, %v", q, info, err)
		}
	}
}

// A batch is one message to the kernel; each answer is for its step, in their
// order, whatever fails between.
func TestBatch(t *testing.T) {
	answer := func(m netlink.Message, errno unix.Errno) netlink.Message {
		m.Header.Type, m.Data = netlink.Error, nlenc.Int32Bytes(-int32(errno))
		return m
	}
	r := flowRules(dataplane.Flow{Home: homeAddr, Client: clientAddr}, dataplane.Optimised, careOfAddr, false)
	var pending []netlink.Message
	batches := 0
	c := conn{nltest.Dial(func(requests []netlink.Message) ([]netlink.Message, error) {
		if len(requests) > 1 {
			batches++
			pending = requests
			requests = nil
		}
		if len(pending) == 0 {
			t.Fatal("the conversation is over")
		}
		m := pending[0]
		pending = pending[1:]
		switch m.Header.Type {
		case msgGetState:
			m.Header.Type, m.Data = msgNewState, r.states[0].message(msgNewState).Data
			return []netlink.Message{m}, nil
		case msgDelPolicy:
			return []netlink.Message{answer(m, unix.ENOENT)}, nil
		case msgUpdatePolicy:
			return []netlink.Message{answer(m, unix.EPERM)}, nil
		default:
			return []netlink.Message{answer(m, 0)}, nil
		}
	})}
	defer c.Close()
	answers, err := c.do(deletePolicy(r.policies[0].policyID), addState(r.states[0]), setPolicy(r.policies[0]), getState(r.states[0].stateID))
	if !errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOENT) || !strings.Contains(err.Error(), "setting policy out src 2001:db8:9::1/128") {
		t.Errorf("error %v", err)
	}
	if len(answers) != 4 || len(answers[0].Data) != 0 || len(answers[3].Data) == 0 {
		t.Fatalf("answers %+v", answers)
	}
	if info, err := parseState(answers[3]); err != nil || info.state != r.states[0] {
		t.Errorf("state %+v, %v", info, err)
	}
	if batches != 1 {
		t.Errorf("%d messages to the kernel, want 1", batches)
	}
}

// The kernel's report of a packet with an unknown home address.
func TestReport(t *testing.T) {
	body := func(proto string) []byte {
		b, err := hex.DecodeString(proto + "000000" + cn + h1 + ports + "0a00" + "8080" + "3a" + "000000" + "00000000" + "00000000" + "1400" + "0e00" + c1)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	want := dataplane.Event{Kind: dataplane.UnknownHomeAddress, Source: careOfAddr, Dest: clientAddr, Home: homeAddr}
	report := netlink.Header{Type: msgReport}
	if got, err := parseReport(netlink.Message{Header: report, Data: body("3c")}); err != nil || got != want {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	for name, c := range map[string]struct {
		message netlink.Message
		want    error
	}{
		"another header":          {netlink.Message{Header: report, Data: body("2b")}, errOtherReport},
		"another message":         {netlink.Message{Header: netlink.Header{Type: msgNewState}, Data: body("3c")}, errOtherReport},
		"cut":                     {netlink.Message{Header: report, Data: body("3c")[:59]}, errShort},
		"without care-of address": {netlink.Message{Header: report, Data: body("3c")[:60]}, errShort},
	} {
		if _, err := parseReport(c.message); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// FuzzParse reads any message of the kernel.
func FuzzParse(f *testing.F) {
	all := flowRules(dataplane.Flow{Home: homeAddr, Client: clientAddr}, dataplane.Optimised, careOfAddr, false)
	f.Add(all.states[0].message(msgNewState).Data)
	f.Add(all.policies[0].message(msgNewPolicy).Data)
	f.Add(make([]byte, 80))
	f.Fuzz(func(t *testing.T, b []byte) {
		if i, err := parseState(netlink.Message{Data: b}); err == nil && i.ours() {
			if again, err := parseState(i.state.message(msgNewState)); err != nil || again.stateID != i.stateID {
				t.Errorf("%v became %v, %v", i.stateID, again.stateID, err)
			}
		}
		if i, err := parsePolicy(netlink.Message{Data: b}); err == nil && i.ours() {
			_ = i.policyID.message(msgDelPolicy)
		}
		if e, err := parseReport(netlink.Message{Header: netlink.Header{Type: msgReport}, Data: b}); err == nil && !e.Source.Is6() {
			t.Errorf("%+v", e)
		}
	})
}

package xfrm

import (
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/mdlayher/netlink"

	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/mipv6/esp"
	"github.com/vanycast/vanycast/mipv6/ipsec"
)

const ha = "20010db80009000000000000000000ff"

var espPair = ipsec.Pair{Home: homeAddr, CareOf: careOfAddr, HomeAgent: netip.MustParseAddr("2001:db8:9::ff")}

// espGeneration has keys that are all one octet, and SPIs from 0x100 on.
func espGeneration(number uint32, a esp.Algorithm) ipsec.Generation {
	g := ipsec.Generation{Number: number, Algorithm: a}
	for _, p := range ipsec.Purposes() {
		key := make([]byte, a.KeyLen())
		for i := range key {
			key[i] = byte(p) + 1
		}
		g.Associations[p] = ipsec.Association{SPI: 0x100*number + uint32(p), Key: esp.NewKey(key)}
	}
	return g
}

// Every message, byte for byte as linux/xfrm.h has it (little-endian hosts).
func TestESPMessages(t *testing.T) {
	gcm := rulesOf([]ipsec.KernelPair{{
		Pair: espPair, Side: ipsec.Replica, Mark: 7, Generations: []ipsec.Generation{espGeneration(1, esp.AESGCM)},
		Numbers: ipsec.Numbers{0x100: 0x4000, 0x103: 9}, Tunnel: true,
	}})
	cbc := rulesOf([]ipsec.KernelPair{{
		Pair: espPair, Side: ipsec.HomeAgent, Mark: 8, Generations: []ipsec.Generation{espGeneration(1, esp.AESCBCHMACSHA256)}, Tunnel: true,
	}})
	name := func(s string) string { return hex.EncodeToString([]byte(s)) + strings.Repeat("00", 64-len(s)) }
	key := func(b string, n int) string { return strings.Repeat(b, n) }
	state := func(selector, src, dst, spi, reqid, mode string) string {
		return selector + dst + spi + "32" + "000000" + src + forever + unused + "000000000000000000000000" +
			"00000000" + reqid + "0a00" + mode + "20" + "00" + "00000000000000"
	}
	selector := func(src, dst, ports, prefixes, proto string) string {
		return dst + src + ports + "0a00" + prefixes + proto + "000000" + "00000000" + "00000000"
	}
	any := zero + zero + ports + "0a00" + "0000" + "00" + "000000" + "00000000" + "00000000"
	replay := func(sent, received, seen string) string { return "1000" + "0a00" + sent + received + seen }
	template := func(src, dst, spi, reqid, mode string) string {
		return "4400" + "0500" + dst + spi + "32" + "000000" + "0a00" + "0000" + src + reqid + mode + "00" + "00" + "00" + "ffffffffffffffffffffffff"
	}
	policy := func(selector, dir string) string {
		return selector + forever + unused + "ec390200" + "00000000" + dir + "00" + "00" + "00" + "00000000"
	}
	const mark = "0c00" + "1500" + "07000000" + "ffffffff"
	for what, c := range map[string]struct {
		message netlink.Message
		kind    netlink.HeaderType
		body    string
	}{
		"outgoing, AES-GCM": {gcm.states[espID{espPair.HomeAgent, 0x100}].message(), 0x10,
			state(any, c1, ha, "00000100", "00006176", "00") +
				"7000" + "1200" + name("rfc4106(gcm(aes))") + "20010000" + "80000000" + key("01", 36) + replay("00400000", "00000000", "00000000")},
		"incoming tunnel": {gcm.states[espID{careOfAddr, 0x103}].message(), 0x10,
			state(selector(zero, h1, ports, "8000", "87"), ha, c1, "00000103", "03006176", "01") +
				"7000" + "1200" + name("rfc4106(gcm(aes))") + "20010000" + "80000000" + key("04", 36) + replay("00000000", "09000000", "ffffffff") + "0800" + "1d00" + "07000000"},
		"incoming, AES-CBC with HMAC": {cbc.states[espID{espPair.HomeAgent, 0x100}].message(), 0x10,
			state(selector(h1, ha, ports, "8080", "87"), h1, ha, "00000100", "00006176", "00") +
				"6800" + "0200" + name("cbc(aes)") + "00010000" + key("01", 32) +
				"6c00" + "1400" + name("hmac(sha256)") + "00010000" + "80000000" + key("01", 32) + replay("00000000", "00000000", "ffffffff")},
		"ask": {espID{careOfAddr, 0x103}.message(msgGetState), 0x12, c1 + "00000103" + "0a00" + "32" + "00"},
		"our updates": {gcm.policies[espPolicyID{out, between(careOfAddr, espPair.HomeAgent, protocolRaw, 0), 7}].message(), 0x19,
			policy(selector(c1, ha, ports, "8080", "ff"), "01") + template(zero, zero, "00000100", "00006176", "00") + mark},
		"home tests": {gcm.policies[espPolicyID{in, mobilityTo(homeAddr), 7}].message(), 0x19,
			policy(selector(zero, h1, ports, "8000", "87"), "00") + template(ha, c1, "00000000", "03006176", "01") + mark},
		"what clients send straight": {gcm.policies[espPolicyID{in, mobilityTo(homeAddr), 0}].message(), 0x19,
			strings.Replace(policy(selector(zero, h1, ports, "8000", "87"), "00"), "ec390200", "ed390200", 1) +
				strings.Replace(template(zero, zero, "00000000", "00000000", "02"), "0000000032000000", "000000002b000000", 1)},
		"home test inits that are sent on": {cbc.policies[espPolicyID{forward, mobilityFrom(homeAddr), 0}].message(), 0x19,
			policy(selector(h1, zero, ports, "0080", "87"), "02") + template(c1, ha, "00000000", "02006176", "01")},
	} {
		t.Run(what, func(t *testing.T) {
			if c.message.Header.Type != c.kind {
				t.Errorf("type %#x, want %#x", c.message.Header.Type, c.kind)
			}
			if d := cmp.Diff(lines(c.body), lines(hex.EncodeToString(c.message.Data))); d != "" {
				t.Errorf("body (-want +got):\n%s", d)
			}
		})
	}
}

func between(src, dst netip.Addr, protocol, mobility uint8) selector {
	return selector{src: single(src), dst: single(dst), protocol: protocol, mobility: mobility}
}

func mobilityTo(home netip.Addr) selector {
	return selector{src: everywhere, dst: single(home), protocol: protocolMobility}
}

func mobilityFrom(home netip.Addr) selector {
	return selector{src: single(home), dst: everywhere, protocol: protocolMobility}
}

// What stays in the kernel is known again when it is listed, and nothing else is.
func TestESPOurs(t *testing.T) {
	r := rulesOf([]ipsec.KernelPair{{Pair: espPair, Side: ipsec.Replica, Mark: 7, Generations: []ipsec.Generation{espGeneration(1, esp.AESGCM)},
		Numbers: ipsec.Numbers{0x100: 5, 0x101: 6}}})
	for id, s := range r.states {
		info, err := parseESP(s.message())
		if err != nil || !info.ours() || info.espID != id {
			t.Errorf("%v: %+v, %v", id, info, err)
		}
		want := r.states[id].sequence
		if got := info.sent + info.received; got != want {
			t.Errorf("%v: sequence number %d, want %d", id, got, want)
		}
	}
	for id, p := range r.policies {
		if got, ours, err := parseESPPolicy(p.message()); err != nil || !ours || got != id {
			t.Errorf("%v: %v, %v, %v", id, got, ours, err)
		}
	}
	contact := contactRules(dataplane.Contact{Home: homeAddr, CareOf: careOfAddr, HomeAgent: espPair.HomeAgent})
	if info, err := parseESP(contact.states[0].message(msgNewState)); err != nil || info.ours() {
		t.Errorf("a state of a plane: %+v, %v", info, err)
	}
	if _, ours, err := parseESPPolicy(contact.policies[0].message(msgUpdatePolicy)); err != nil || ours {
		t.Errorf("a policy of a plane: %v, %v", ours, err)
	}
	if _, err := parseESP(netlink.Message{Data: make([]byte, sizeState-1)}); err == nil {
		t.Error("a short state is read")
	}
}

// Rolls: all generations are received, one sends; what is incoming has no SPI, so
// that any will do. A home agent's tunnel goes where the home address is registered,
// and a pair without keys sends nothing but holds what comes in against the policy.
func TestESPRules(t *testing.T) {
	second := espPair
	second.CareOf = clientAddr
	r := rulesOf([]ipsec.KernelPair{
		{Pair: espPair, Side: ipsec.HomeAgent, Mark: 7, Generations: []ipsec.Generation{espGeneration(1, esp.AESGCM), espGeneration(2, esp.AESGCM)}, Sending: 1, Tunnel: true},
		{Pair: second, Side: ipsec.HomeAgent, Mark: 8, Generations: []ipsec.Generation{espGeneration(3, esp.AESGCM)}},
	})
	if len(r.states) != 12 || len(r.policies) != 5 {
		t.Errorf("%d states and %d policies, want 12 and 5", len(r.states), len(r.policies))
	}
	for id, p := range r.policies {
		switch {
		case id.direction != out && p.spi != 0:
			t.Errorf("%v: only SPI %#x", id, p.spi)
		case id.direction == out && id.mark == 8 && p.spi != 0x301, id.direction == out && id.mark == 7 && p.spi != 0x201:
			t.Errorf("%v: SPI %#x", id, p.spi)
		case id.direction == out && id.mark == 0 && (p.spi != 0x203 || p.dst != careOfAddr):
			t.Errorf("tunnel: %+v", p)
		}
	}
	reqids := map[uint32]int{}
	for _, s := range r.states {
		reqids[s.reqid]++
	}
	for id, n := range reqids {
		if n != 3 {
			t.Errorf("%d states have reqid %#x, want one of each generation of both replicas", n, id)
		}
	}
	revoked := rulesOf([]ipsec.KernelPair{{Pair: espPair, Side: ipsec.HomeAgent, Mark: 7}})
	if len(revoked.states) != 0 || len(revoked.policies) != 1 {
		t.Errorf("without keys: %+v", revoked)
	}
}

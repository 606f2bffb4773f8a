package ipsec_test

import (
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/esp"
	"github.com/vanycast/vanycast/mipv6/ipsec"
	"github.com/vanycast/vanycast/mipv6/mhsock"
)

// insider seals anything with the keys of a generation: a replica that has been
// taken over, or a program that errs.
type insider struct {
	t *testing.T
	g ipsec.Generation
	n uint32
}

func (i *insider) seal(p ipsec.Purpose, next uint8, payload []byte) []byte {
	i.t.Helper()
	a := i.g.Associations[p]
	c, err := esp.NewCipher(i.g.Algorithm, a.Key)
	if err != nil {
		i.t.Fatal(err)
	}
	i.n++
	s, err := esp.NewSender(a.SPI, c, i.n, nil)
	if err != nil {
		i.t.Fatal(err)
	}
	b, err := s.Seal(next, payload)
	if err != nil {
		i.t.Fatal(err)
	}
	return b
}

func carried(t *testing.T, p mipv6.Packet, m mipv6.Message) []byte {
	t.Helper()
	if err := p.Carry(m, nil); err != nil {
		t.Fatal(err)
	}
	return p.Payload
}

func whole(t *testing.T, p mipv6.Packet, m mipv6.Message) []byte {
	t.Helper()
	if err := p.Carry(m, nil); err != nil {
		t.Fatal(err)
	}
	b, err := p.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// RFC 4301 §5.2, RFC 3776 §4.2, §4.3: what opens is accepted only if it is what
// the association is for, from and to whom it is for.
func TestSelectors(t *testing.T) {
	other := netip.MustParseAddr("2001:db8:2::10")
	bu := func(change func(*mipv6.BindingUpdate)) []byte {
		p, m := update(1)
		if change != nil {
			change(m.(*mipv6.BindingUpdate))
		}
		return carried(t, p, m)
	}
	fromReplica := mhsock.Received{Src: pair.Home, CareOf: pair.CareOf, Dst: pair.HomeAgent}
	fromAgent := mhsock.Received{Src: pair.HomeAgent, Dst: pair.Home}
	outer, back := mhsock.Received{Src: pair.CareOf, Dst: pair.HomeAgent}, mhsock.Received{Src: pair.HomeAgent, Dst: pair.CareOf}
	ackPacket, ackMessage := acknowledgement(1)
	ack := carried(t, ackPacket, ackMessage)
	hoti := func(p mipv6.Packet) []byte {
		if !p.Src.IsValid() {
			p.Src = pair.Home
		}
		if !p.Dst.IsValid() {
			p.Dst = clientAddr
		}
		if p.HopLimit == 0 {
			p.HopLimit = 64
		}
		return whole(t, p, &mipv6.HomeTestInit{})
	}
	hot := whole(t, mipv6.Packet{Src: clientAddr, Dst: pair.Home, HopLimit: 64}, &mipv6.HomeTest{})
	damaged := append([]byte(nil), hot...)
	damaged[len(damaged)-1]++

	for _, tt := range []struct {
		name    string
		purpose ipsec.Purpose
		r       mhsock.Received
		next    uint8
		payload []byte
		want    error
	}{
		{"registration", ipsec.Update, fromReplica, 135, bu(nil), nil},
		{"deregistration", ipsec.Update, fromReplica, 135, bu(func(u *mipv6.BindingUpdate) { u.Lifetime, u.Options = 0, nil }), nil},
		{"another home address", ipsec.Update, mhsock.Received{Src: other, CareOf: pair.CareOf, Dst: pair.HomeAgent}, 135, bu(nil), ipsec.ErrSelector},
		{"another care-of address", ipsec.Update, mhsock.Received{Src: pair.Home, CareOf: other, Dst: pair.HomeAgent}, 135, bu(nil), ipsec.ErrSelector},
		{"no Home Address option", ipsec.Update, mhsock.Received{Src: pair.Home, Dst: pair.HomeAgent}, 135, bu(nil), ipsec.ErrSelector},
		{"another care-of address inside", ipsec.Update, fromReplica, 135, bu(func(u *mipv6.BindingUpdate) { u.Options = []mipv6.Option{&mipv6.AlternateCareOf{Addr: other}} }), ipsec.ErrSelector},
		{"no care-of address inside", ipsec.Update, fromReplica, 135, bu(func(u *mipv6.BindingUpdate) { u.Options = nil }), ipsec.ErrSelector},
		{"no home registration", ipsec.Update, fromReplica, 135, bu(func(u *mipv6.BindingUpdate) { u.HomeRegistration = false }), ipsec.ErrSelector},
		{"another message", ipsec.Update, fromReplica, 135, carried(t, mipv6.Packet{Src: pair.CareOf, Dst: pair.HomeAgent, HomeAddress: pair.Home}, &mipv6.HomeTestInit{}), ipsec.ErrSelector},
		{"checksum", ipsec.Update, fromReplica, 135, ack, ipsec.ErrSelector},
		{"another protocol", ipsec.Update, fromReplica, 6, bu(nil), ipsec.ErrSelector},
		{"a dummy packet (RFC 4303 §2.6)", ipsec.Update, fromReplica, 59, nil, ipsec.ErrSelector},

		{"acknowledgement", ipsec.Acknowledgement, fromAgent, 135, ack, nil},
		{"acknowledgement from elsewhere", ipsec.Acknowledgement, mhsock.Received{Src: other, Dst: pair.Home}, 135, ack, ipsec.ErrSelector},
		{"acknowledgement to the care-of address", ipsec.Acknowledgement, back, 135, ack, ipsec.ErrSelector},

		{"home test init", ipsec.TestInit, outer, 41, hoti(mipv6.Packet{}), nil},
		{"with padding (RFC 4303 §2.7)", ipsec.TestInit, outer, 41, append(hoti(mipv6.Packet{}), make([]byte, 100)...), nil},
		{"another tunnel source", ipsec.TestInit, mhsock.Received{Src: other, Dst: pair.HomeAgent}, 41, hoti(mipv6.Packet{}), ipsec.ErrSelector},
		{"another home address inside", ipsec.TestInit, outer, 41, hoti(mipv6.Packet{Src: other}), ipsec.ErrSelector},
		{"to a group", ipsec.TestInit, outer, 41, hoti(mipv6.Packet{Dst: netip.MustParseAddr("ff02::1")}), ipsec.ErrSelector},
		{"to this link", ipsec.TestInit, outer, 41, hoti(mipv6.Packet{Dst: netip.MustParseAddr("fe80::1")}), ipsec.ErrSelector},
		{"hop limit used up", ipsec.TestInit, outer, 41, hoti(mipv6.Packet{HopLimit: 1}), ipsec.ErrSelector},
		{"home address option inside", ipsec.TestInit, outer, 41, hoti(mipv6.Packet{HomeAddress: other}), ipsec.ErrSelector},
		{"routing header inside", ipsec.TestInit, outer, 41, hoti(mipv6.Packet{RoutingHome: other}), ipsec.ErrSelector},
		{"transport mode", ipsec.TestInit, outer, 135, bu(nil), ipsec.ErrSelector},

		{"home test", ipsec.Test, back, 41, hot, nil},
		{"home test to another", ipsec.Test, back, 41, whole(t, mipv6.Packet{Src: clientAddr, Dst: other}, &mipv6.HomeTest{}), ipsec.ErrSelector},
		{"damaged before it was sealed", ipsec.Test, back, 41, damaged, ipsec.ErrSelector},
		{"another tunnel destination", ipsec.Test, fromAgent, 41, hot, ipsec.ErrSelector},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := generate(t, 1, esp.AESGCM)
			e := newEnds(t, g)
			in := &insider{t: t, g: g}
			to, counters := e.agent, func() map[string]uint64 { return e.agent.Counters() }
			if tt.purpose == ipsec.Acknowledgement || tt.purpose == ipsec.Test {
				to, counters = e.replica, func() map[string]uint64 { return e.replica.Counters() }
			}
			tt.r.Message = in.seal(tt.purpose, tt.next, tt.payload)
			o, err := to.Open(e.now, tt.r)
			if !errors.Is(err, tt.want) {
				t.Fatalf("error %v, want %v", err, tt.want)
			}
			if tt.want != nil {
				if o.Forward != nil || o.Received.Message != nil || counters()[ipsec.CounterSelector] != 1 {
					t.Errorf("passed on %+v, counters %v", o, counters())
				}
				return
			}
			if tt.purpose == ipsec.TestInit && (o.Dst != clientAddr || o.Forward[7] != 63 || len(o.Forward) != 40+16) {
				t.Errorf("forwards %x to %v", o.Forward, o.Dst)
			}
		})
	}
}

// RFC 6275 §10.4.5: a tunnelled packet only from the registered care-of address.
func TestTunnelOfWhoIsNotRegistered(t *testing.T) {
	e := newEnds(t, generate(t, 1, esp.AESGCM))
	ipsec.NewPlane(e.agent, nopPlane{}).RemoveTunnel(pair.Home)
	f := e.sent(t, ipsec.TestInit)
	if _, err := f.to.Open(e.now, f.r); !errors.Is(err, ipsec.ErrSelector) {
		t.Errorf("%v", err)
	}
}

// What cannot be protected is not sent: no keys, no room for numbers on disk.
func TestUnsent(t *testing.T) {
	p, m := update(1)
	if err := p.Carry(m, nil); err != nil {
		t.Fatal(err)
	}
	none := newEndpoint(t, ipsec.Replica, &memory{})
	if _, err := none.Protect(&p); !errors.Is(err, ipsec.ErrNoKeys) {
		t.Errorf("no keys: %v", err)
	}
	full := newEndpoint(t, ipsec.Replica, &memory{fails: true}, generate(t, 1, esp.AESGCM))
	if _, err := full.Protect(&p); !errors.Is(err, errStore) {
		t.Errorf("disk full: %v", err)
	}
	required, err := ipsec.New(ipsec.Config{Contacts: []ipsec.Contact{{Home: pair.Home, HomeAgent: pair.HomeAgent}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := required.Protect(&p); !errors.Is(err, ipsec.ErrClear) {
		t.Errorf("required, no pair: %v", err)
	}
	init := mipv6.Packet{Src: pair.Home, Dst: clientAddr, NextHeader: mipv6.ProtocolMobility}
	if _, err := required.Protect(&init); !errors.Is(err, ipsec.ErrClear) {
		t.Errorf("required, home test: %v", err)
	}
	toClient := mipv6.Packet{Src: pair.CareOf, Dst: clientAddr, HomeAddress: pair.Home, NextHeader: mipv6.ProtocolMobility}
	if got, err := required.Protect(&toClient); err != nil || got != &toClient {
		t.Errorf("to a client: %v, %v", got, err)
	}
	if n := required.Counters()[ipsec.CounterClearOut]; n != 2 {
		t.Errorf("%d counted as unsent, want 2", n)
	}
}

// A home agent that requires protection takes no registration in clear, of any
// home address; one that does not, of those without keys.
func TestAdmit(t *testing.T) {
	foreign := netip.MustParseAddr("2001:db8:9::77")
	bu := func(home netip.Addr, h bool) mhsock.Received {
		return mhsock.Received{Src: home, CareOf: pair.CareOf, Dst: pair.HomeAgent, Message: carried(t,
			mipv6.Packet{Src: pair.CareOf, Dst: pair.HomeAgent, HomeAddress: home}, &mipv6.BindingUpdate{HomeRegistration: h, Lifetime: time.Minute})}
	}
	var log strings.Builder
	required, err := ipsec.New(ipsec.Config{HomeAgent: pair.HomeAgent, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	optional := newEndpoint(t, ipsec.HomeAgent, &memory{}, generate(t, 1, esp.AESGCM))
	for _, tt := range []struct {
		name               string
		r                  mhsock.Received
		required, optional bool // admitted
	}{
		{"with keys", bu(pair.Home, true), false, false},
		{"without keys", bu(foreign, true), false, true},
		{"a correspondent's binding", bu(foreign, false), true, true},
		{"too short", mhsock.Received{Src: pair.Home, Dst: pair.HomeAgent, Message: []byte{59, 0, 5}}, true, true},
	} {
		for name, c := range map[string]struct {
			e    *ipsec.Endpoint
			want bool
		}{"required": {required, tt.required}, "optional": {optional, tt.optional}} {
			if err := c.e.Admit(time.Now(), tt.r); (err == nil) != c.want || err != nil && !errors.Is(err, ipsec.ErrClear) {
				t.Errorf("%s, %s: %v, want admitted: %v", tt.name, name, err, c.want)
			}
		}
	}
	if n := required.Counters()[ipsec.CounterClearIn]; n != 2 {
		t.Errorf("%d counted, want 2", n)
	}
	if n := strings.Count(log.String(), "level=WARN"); n != 1 {
		t.Errorf("%d lines in the log, want one per source and minute:\n%s", n, log.String())
	}
}

// Each replica has its own keys: revoking them shuts out that one alone, and for
// good.
func TestRevoke(t *testing.T) {
	second := pair
	second.CareOf = netip.MustParseAddr("2001:db8:2::10")
	g1, g2 := generate(t, 1, esp.AESGCM), generate(t, 1, esp.AESGCM)
	m1, m2 := &memory{generations: []ipsec.Generation{g1}}, &memory{generations: []ipsec.Generation{g2}}
	agent, err := ipsec.New(ipsec.Config{Pairs: []ipsec.PairConfig{
		{Pair: pair, Side: ipsec.HomeAgent, Generations: m1.generations, Store: m1},
		{Pair: second, Side: ipsec.HomeAgent, Generations: m2.generations, Store: m2},
	}})
	if err != nil {
		t.Fatal(err)
	}
	send := func(g ipsec.Generation, careOf netip.Addr) error {
		in := &insider{t: t, g: g, n: uint32(time.Now().UnixNano() >> 10)}
		payload := carried(t, mipv6.Packet{Src: careOf, Dst: pair.HomeAgent, HomeAddress: pair.Home},
			&mipv6.BindingUpdate{HomeRegistration: true, Lifetime: time.Minute, Options: []mipv6.Option{&mipv6.AlternateCareOf{Addr: careOf}}})
		_, err := agent.Open(time.Now(), mhsock.Received{Src: pair.Home, CareOf: careOf, Dst: pair.HomeAgent, Message: in.seal(ipsec.Update, 135, payload)})
		return err
	}
	if err := errors.Join(send(g1, pair.CareOf), send(g2, second.CareOf)); err != nil {
		t.Fatal(err)
	}
	if err := send(g1, second.CareOf); !errors.Is(err, ipsec.ErrSelector) {
		t.Errorf("one replica speaks for another: %v", err)
	}
	if revoked, err := agent.Revoke(pair.CareOf); err != nil || len(revoked) != 1 || revoked[0] != pair {
		t.Fatalf("revoke: %v, %v", revoked, err)
	}
	if err := send(g1, pair.CareOf); !errors.Is(err, ipsec.ErrUnknownSPI) {
		t.Errorf("after it was revoked: %v", err)
	}
	if err := send(g2, second.CareOf); err != nil {
		t.Errorf("the other: %v", err)
	}
	// A roll gives it no new ones, unless it is named: then the replica, which has
	// the old ones still, can take them.
	if d, err := agent.Roll(time.Now(), ipsec.Which{}, ""); err != nil || len(d) != 1 || d[0].Pair != second {
		t.Errorf("roll: %v, %v", d, err)
	}
	replica := newEndpoint(t, ipsec.Replica, &memory{}, g1)
	d, err := agent.Roll(time.Now(), ipsec.Which{CareOf: pair.CareOf}, "")
	if err == nil {
		err = replica.Install(d[0])
	}
	if err != nil || len(m1.generations) != 1 {
		t.Errorf("given keys again: %v, %d stored", err, len(m1.generations))
	}
	if _, err := agent.Revoke(pair.CareOf); err != nil {
		t.Fatal(err)
	}
	if len(m1.generations) != 0 || len(m2.generations) != 2 {
		t.Errorf("%d and %d generations are left in the files", len(m1.generations), len(m2.generations))
	}
	answer := mipv6.Packet{Src: pair.HomeAgent, Dst: pair.CareOf, RoutingHome: pair.Home, NextHeader: mipv6.ProtocolMobility}
	if _, err := agent.Protect(&answer); !errors.Is(err, ipsec.ErrNoKeys) {
		t.Errorf("an answer to who was revoked: %v", err)
	}
	if _, err := agent.Revoke(clientAddr); !errors.Is(err, ipsec.ErrNoPair) {
		t.Errorf("who has no keys: %v", err)
	}
}

// Two associations with one SPI, a pair twice, impossible addresses.
func TestNewRefuses(t *testing.T) {
	g := generate(t, 1, esp.AESGCM)
	second, bad := pair, pair
	second.CareOf = netip.MustParseAddr("2001:db8:2::10")
	bad.CareOf = pair.Home
	for name, pairs := range map[string][]ipsec.PairConfig{
		"same SPI":        {{Pair: pair, Side: ipsec.HomeAgent, Generations: []ipsec.Generation{g}}, {Pair: second, Side: ipsec.HomeAgent, Generations: []ipsec.Generation{g}}},
		"same pair":       {{Pair: pair, Side: ipsec.HomeAgent}, {Pair: pair, Side: ipsec.HomeAgent}},
		"same number":     {{Pair: pair, Side: ipsec.HomeAgent, Generations: []ipsec.Generation{g, generate(t, 1, esp.AESGCM)}}},
		"same address":    {{Pair: bad, Side: ipsec.HomeAgent}},
		"zero generation": {{Pair: pair, Side: ipsec.HomeAgent, Generations: []ipsec.Generation{{}}}},
	} {
		if _, err := ipsec.New(ipsec.Config{Pairs: pairs}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// Numbers are reserved on disk before they are used, in blocks: not every packet
// waits for the disk.
func TestNumbersAreReserved(t *testing.T) {
	e := newEnds(t, generate(t, 1, esp.AESGCM))
	for range 100 {
		f := e.sent(t, ipsec.Update)
		h, err := esp.ParseHeader(f.r.Message)
		if err != nil {
			t.Fatal(err)
		}
		if e.rm.numbers[h.SPI] < h.Sequence {
			t.Fatalf("number %d is used, %d reserved", h.Sequence, e.rm.numbers[h.SPI])
		}
	}
	if e.rm.saves != 1 {
		t.Errorf("saved %d times for 100 packets", e.rm.saves)
	}
}

package ipsec_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/mipv6/dataplane/planetest"
	"github.com/vanycast/vanycast/mipv6/esp"
	"github.com/vanycast/vanycast/mipv6/ipsec"
	"github.com/vanycast/vanycast/mipv6/mhsock"
)

// ends are two endpoints whose packets the test carries, when it likes, and the
// time.
type ends struct {
	replica, agent *ipsec.Endpoint
	rm, am         *memory
	now            time.Time
	number         uint16
}

func newEnds(t testing.TB, g ...ipsec.Generation) *ends {
	t.Helper()
	e := &ends{rm: &memory{}, am: &memory{}, now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	e.replica, e.agent = newEndpoint(t, ipsec.Replica, e.rm, g...), newEndpoint(t, ipsec.HomeAgent, e.am, g...)
	p := ipsec.NewPlane(e.agent, planetest.New())
	if err := p.SetTunnel(dataplane.Tunnel{Home: pair.Home, CareOf: pair.CareOf, HomeAgent: pair.HomeAgent}); err != nil {
		t.Fatal(err)
	}
	return e
}

// flight is a packet under way.
type flight struct {
	to   *ipsec.Endpoint
	r    mhsock.Received
	spi  uint32
	sent time.Time
}

// sent makes a packet of one of the four kinds.
func (e *ends) sent(t interface{ Fatalf(string, ...any) }, p ipsec.Purpose) flight {
	e.number++
	var out *mipv6.Packet
	var err error
	f := flight{to: e.agent, sent: e.now}
	carry := func(p mipv6.Packet, m mipv6.Message) *mipv6.Packet {
		p.HopLimit = 64
		if err := p.Carry(m, nil); err != nil {
			t.Fatalf("%v", err)
		}
		return &p
	}
	switch p {
	case ipsec.Update:
		out, err = e.replica.Protect(carry(update(e.number)))
	case ipsec.TestInit:
		out, err = e.replica.Protect(carry(mipv6.Packet{Src: pair.Home, Dst: clientAddr}, &mipv6.HomeTestInit{}))
	case ipsec.Acknowledgement:
		f.to = e.replica
		out, err = e.agent.Protect(carry(acknowledgement(e.number)))
	case ipsec.Test:
		f.to = e.replica
		var b []byte
		if b, err = carry(mipv6.Packet{Src: clientAddr, Dst: pair.Home}, &mipv6.HomeTest{}).MarshalBinary(); err == nil {
			out, err = e.agent.ProtectForwarded(b)
		}
	}
	if err != nil {
		t.Fatalf("%v: %v", p, err)
	}
	f.r = arrived(out)
	h, err := esp.ParseHeader(out.Payload)
	if err != nil {
		t.Fatalf("%v: %v", p, err)
	}
	f.spi = h.SPI
	return f
}

// arrived is the packet as a socket gets it.
func arrived(p *mipv6.Packet) mhsock.Received {
	src, dst := p.ChecksumAddresses()
	r := mhsock.Received{Src: src, Dst: dst, Message: p.Payload}
	if p.HomeAddress.IsValid() {
		r.CareOf = p.Src
	}
	return r
}

func (e *ends) generations(side *ipsec.Endpoint) (numbers []uint32, sending uint32) {
	for _, s := range side.State() {
		numbers = append(numbers, s.Number)
		if s.Sending {
			sending = s.Number
		}
	}
	return numbers, sending
}

// Keys roll without a packet lost, whatever is under way, whenever the replica
// gets its delivery, however packets are delayed (by less than Linger) and
// reordered; rolls may follow each other. In the end both have the last
// generation only.
func TestRollLosesNothing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		algorithm := rapid.SampledFrom(esp.Algorithms()).Draw(rt, "algorithm")
		e := newEnds(t, generate(t, 1, algorithm))
		var underWay []flight
		var deliveries []ipsec.Delivery
		rolls := 0
		deliver := func(i int) {
			f := underWay[i]
			underWay = append(underWay[:i:i], underWay[i+1:]...)
			if _, err := f.to.Open(e.now, f.r); err != nil {
				rt.Fatalf("a packet is lost: %v", err)
			}
		}
		pass := func(d time.Duration) {
			// Nothing is under way for as long as Linger.
			for i := len(underWay) - 1; i >= 0; i-- {
				if e.now.Add(d).Sub(underWay[i].sent) >= ipsec.Linger {
					deliver(i)
				}
			}
			e.now = e.now.Add(d)
			e.agent.Poll(e.now)
			e.replica.Poll(e.now)
		}
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			switch rapid.IntRange(0, 9).Draw(rt, "step") {
			case 0:
				if rolls-len(e.replica.State()) < ipsec.MaxGenerations-2 && len(e.agent.State()) < ipsec.MaxGenerations && len(e.replica.State())+len(deliveries) < ipsec.MaxGenerations {
					d, err := e.agent.Roll(e.now, ipsec.Which{}, "")
					if err != nil || len(d) != 1 {
						rt.Fatalf("roll: %v, %v", d, err)
					}
					rolls++
					deliveries = append(deliveries, d...)
				}
			case 1:
				if len(deliveries) > 0 {
					if err := e.replica.Install(deliveries[0]); err != nil {
						rt.Fatalf("install: %v", err)
					}
					if err := e.replica.Install(deliveries[0]); err != nil {
						rt.Fatalf("install once more: %v", err)
					}
					deliveries = deliveries[1:]
				}
			case 2:
				pass(time.Duration(rapid.IntRange(1, 40).Draw(rt, "seconds")) * time.Second)
			case 3, 4, 5:
				if n := len(underWay); n > 0 {
					deliver(rapid.IntRange(0, n-1).Draw(rt, "which"))
				}
			default:
				underWay = append(underWay, e.sent(rt, ipsec.Purpose(rapid.IntRange(0, 3).Draw(rt, "purpose"))))
			}
		}
		for _, d := range deliveries {
			if err := e.replica.Install(d); err != nil {
				rt.Fatalf("install: %v", err)
			}
		}
		for range 3 { // each end hears the other
			for _, p := range ipsec.Purposes() {
				underWay = append(underWay, e.sent(rt, p))
				deliver(len(underWay) - 1)
			}
			pass(ipsec.Linger)
		}
		for name, side := range map[string]*ipsec.Endpoint{"replica": e.replica, "home agent": e.agent} {
			if all, _ := e.generations(side); len(all) != 1 || all[0] != uint32(rolls+1) {
				rt.Fatalf("%s has generations %v, want %d only", name, all, rolls+1)
			}
		}
	})
}

// The order of a roll (see the package comment), step by step.
func TestRollOrder(t *testing.T) {
	e := newEnds(t, generate(t, 1, esp.AESGCM))
	open := func(f flight) error { _, err := f.to.Open(e.now, f.r); return err }
	check := func(when string, replica, agent uint32) {
		t.Helper()
		if _, s := e.generations(e.replica); s != replica {
			t.Errorf("%s: replica sends with generation %d, want %d", when, s, replica)
		}
		if _, s := e.generations(e.agent); s != agent {
			t.Errorf("%s: home agent sends with generation %d, want %d", when, s, agent)
		}
	}
	d, err := e.agent.Roll(e.now, ipsec.Which{Home: pair.Home}, esp.AESCBCHMACSHA256)
	if err != nil {
		t.Fatal(err)
	}
	if len(e.am.generations) != 2 {
		t.Fatal("not stored before it is given away")
	}
	check("rolled", 1, 1)
	if err := e.replica.Install(d[0]); err != nil {
		t.Fatal(err)
	}
	if len(e.rm.generations) != 2 {
		t.Fatal("not stored before it is used")
	}
	check("delivered", 2, 1)
	old := e.sent(t, ipsec.Acknowledgement)
	if err := open(e.sent(t, ipsec.Update)); err != nil {
		t.Fatal(err)
	}
	check("heard", 2, 2)
	e.now = e.now.Add(ipsec.Linger - time.Second)
	e.agent.Poll(e.now)
	if err := open(old); err != nil {
		t.Errorf("the old keys are not received any more: %v", err)
	}
	if all, _ := e.generations(e.agent); len(all) != 2 {
		t.Errorf("home agent has %v", all)
	}
	stale := e.sent(t, ipsec.Update) // before it was rolled again and forgotten
	e.now = e.now.Add(time.Second)
	e.agent.Poll(e.now)
	if all, _ := e.generations(e.agent); len(all) != 1 || len(e.am.generations) != 1 {
		t.Errorf("home agent has %v, stored %d", all, len(e.am.generations))
	}
	if err := open(stale); err != nil {
		t.Error(err)
	}
	if other := (ipsec.Delivery{Pair: ipsec.Pair{Home: pair.Home, CareOf: clientAddr, HomeAgent: pair.HomeAgent}, Generation: d[0].Generation}); !errors.Is(e.replica.Install(other), ipsec.ErrNoPair) {
		t.Error("another replica's keys are taken")
	}
	if !errors.Is(e.agent.Install(d[0]), ipsec.ErrNoPair) {
		t.Error("the home agent takes a delivery")
	}
}

// Where the disk does not take new keys, nothing changes.
func TestRollNotStored(t *testing.T) {
	e := newEnds(t, generate(t, 1, esp.AESGCM))
	e.am.fails = true
	if _, err := e.agent.Roll(e.now, ipsec.Which{}, ""); !errors.Is(err, errStore) {
		t.Fatalf("roll: %v", err)
	}
	if all, _ := e.generations(e.agent); len(all) != 1 {
		t.Errorf("home agent has %v", all)
	}
	e.am.fails = false
	d, err := e.agent.Roll(e.now, ipsec.Which{}, "")
	if err != nil || d[0].Generation.Number != 2 {
		t.Fatalf("roll: %v, %v", d, err)
	}
	e.rm.fails = true
	if err := e.replica.Install(d[0]); !errors.Is(err, errStore) {
		t.Errorf("install: %v", err)
	}
	if _, sending := e.generations(e.replica); sending != 1 {
		t.Errorf("replica sends with %d", sending)
	}
}

// A replica that is not contact node says nothing while keys are rolled again and
// again. No end keeps more than it may, in memory or on disk, and when the replica
// speaks at last it is understood; also where the last deliveries were lost, and
// where all were.
func TestRollUnheard(t *testing.T) {
	const rolls = 3 * ipsec.MaxGenerations
	for name, delivered := range map[string]int{"all": rolls, "all but two": rolls - 2, "none": 0} {
		e := newEnds(t, generate(t, 1, esp.AESGCM))
		for i := range rolls {
			d, err := e.agent.Roll(e.now, ipsec.Which{}, "")
			if err != nil {
				t.Fatalf("%s: roll %d: %v", name, i, err)
			}
			if i >= delivered {
				continue
			}
			if err := e.replica.Install(d[0]); err != nil {
				t.Fatalf("%s: delivery %d: %v", name, i, err)
			}
		}
		for end, m := range map[string]*memory{"replica": e.rm, "home agent": e.am} {
			if len(m.generations) > ipsec.MaxGenerations {
				t.Errorf("%s: %s stores %d generations", name, end, len(m.generations))
			}
		}
		for _, p := range []ipsec.Purpose{ipsec.Update, ipsec.Acknowledgement, ipsec.TestInit, ipsec.Test} {
			f := e.sent(t, p)
			if _, err := f.to.Open(e.now, f.r); err != nil {
				t.Errorf("%s: %v is lost: %v", name, p, err)
			}
		}
	}
}

// What makes room for new keys comes back if they cannot be stored.
func TestRollUnheardNotStored(t *testing.T) {
	e := newEnds(t, generate(t, 1, esp.AESGCM))
	for range ipsec.MaxGenerations - 1 {
		if _, err := e.agent.Roll(e.now, ipsec.Which{}, ""); err != nil {
			t.Fatal(err)
		}
	}
	before, _ := e.generations(e.agent)
	e.am.fails = true
	if _, err := e.agent.Roll(e.now, ipsec.Which{}, ""); !errors.Is(err, errStore) {
		t.Fatalf("roll: %v", err)
	}
	if after, _ := e.generations(e.agent); !slices.Equal(after, before) {
		t.Errorf("generations are %v, were %v", after, before)
	}
	e.am.fails = false
	if d, err := e.agent.Roll(e.now, ipsec.Which{}, ""); err != nil || d[0].Generation.Number != before[len(before)-1]+1 {
		t.Errorf("roll: %v, %v", d, err)
	}
}

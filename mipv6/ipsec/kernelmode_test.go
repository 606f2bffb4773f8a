package ipsec_test

import (
	"errors"
	"maps"
	"net/netip"
	"testing"
	"time"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/mipv6/dataplane/planetest"
	"github.com/vanycast/vanycast/mipv6/esp"
	"github.com/vanycast/vanycast/mipv6/ipsec"
)

// fakeKernel keeps what is declared, and says what the test says.
type fakeKernel struct {
	pairs       []ipsec.KernelPair
	uses        map[uint32]ipsec.KernelUse
	unprotected uint64
	fails       error
}

var _ ipsec.Kernel = (*fakeKernel)(nil)

func (k *fakeKernel) Declare(p []ipsec.KernelPair) error {
	if k.fails == nil {
		k.pairs = p
	}
	return k.fails
}
func (k *fakeKernel) Uses() (map[uint32]ipsec.KernelUse, error) { return k.uses, k.fails }
func (k *fakeKernel) Unprotected() (uint64, error)              { return k.unprotected, k.fails }

func withKernel(t *testing.T, side ipsec.Side, m *memory, g ...ipsec.Generation) (*ipsec.Endpoint, *fakeKernel) {
	t.Helper()
	k := &fakeKernel{uses: map[uint32]ipsec.KernelUse{}}
	e, err := ipsec.New(ipsec.Config{Kernel: k, Pairs: []ipsec.PairConfig{{Pair: pair, Side: side, Generations: g, Numbers: m.numbers, Store: m}}})
	if err != nil {
		t.Fatal(err)
	}
	return e, k
}

// What leaves is marked where a pair protects it, and does not leave where it had
// to be protected and cannot.
func TestKernelMarks(t *testing.T) {
	e, k := withKernel(t, ipsec.Replica, &memory{}, generate(t, 1, esp.AESGCM))
	mark := k.pairs[0].Mark
	none, _ := withKernel(t, ipsec.Replica, &memory{})
	for name, c := range map[string]struct {
		p    mipv6.Packet
		mark uint32
		err  error // of the endpoint without keys
	}{
		"registration": {mipv6.Packet{Src: pair.CareOf, Dst: pair.HomeAgent, HomeAddress: pair.Home}, mark, ipsec.ErrNoKeys},
		"home test":    {mipv6.Packet{Src: pair.Home, Dst: clientAddr}, mark, ipsec.ErrNoKeys},
		"care-of test": {mipv6.Packet{Src: pair.CareOf, Dst: clientAddr}, 0, nil},
		"to a client":  {mipv6.Packet{Src: pair.CareOf, Dst: clientAddr, HomeAddress: pair.Home}, 0, nil},
	} {
		c.p.NextHeader = mipv6.ProtocolMobility
		if got, err := e.Mark(&c.p); err != nil || got != c.mark {
			t.Errorf("%s: mark %#x, %v; want %#x", name, got, err, c.mark)
		}
		if _, err := none.Mark(&c.p); !errors.Is(err, c.err) {
			t.Errorf("%s without keys: %v, want %v", name, err, c.err)
		}
	}
}

// A roll as in TestRollOrder, where the kernel does the work: the home agent's
// kernel knows the new generation before anybody has it, answers with it once it
// has counted a packet, and forgets the old one after Linger.
func TestKernelRoll(t *testing.T) {
	m := &memory{}
	e, k := withKernel(t, ipsec.HomeAgent, m, generate(t, 1, esp.AESGCM))
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	d, err := e.Roll(now, ipsec.Which{}, "")
	if err != nil {
		t.Fatal(err)
	}
	if p := k.pairs[0]; len(p.Generations) != 2 || p.Sending != 0 {
		t.Fatalf("rolled: the kernel knows %d generations and sends with the one at %d", len(p.Generations), p.Sending)
	}
	spi := d[0].Generation.Associations[ipsec.Update].SPI
	k.uses[spi] = ipsec.KernelUse{Sequence: 1, Packets: 1}
	e.Poll(now)
	if k.pairs[0].Sending != 1 {
		t.Error("heard, and not used")
	}
	if m.numbers[spi] != 1 {
		t.Errorf("the highest number received is stored as %d", m.numbers[spi])
	}
	e.Poll(now.Add(ipsec.Linger))
	if p := k.pairs[0]; len(p.Generations) != 1 || p.Generations[0].Number != 2 || p.Sending != 0 {
		t.Errorf("after Linger: %+v", p)
	}
	if _, err := e.Revoke(pair.CareOf); err != nil || len(k.pairs[0].Generations) != 0 {
		t.Errorf("revoked: %v, the kernel knows %d generations", err, len(k.pairs[0].Generations))
	}
}

// The kernel's sequence numbers are reserved on disk before it gets to them, so
// that after a crash none comes twice.
func TestKernelNumbers(t *testing.T) {
	m := &memory{}
	g := generate(t, 1, esp.AESGCM)
	spi := g.Associations[ipsec.Update].SPI
	e, k := withKernel(t, ipsec.Replica, m, g)
	for _, used := range []uint32{1, 400_000, 900_000, 1_300_000} {
		if m.numbers[spi] < used {
			t.Fatalf("number %d is used, and only %d are reserved", used, m.numbers[spi])
		}
		k.uses[spi] = ipsec.KernelUse{Sequence: used, Packets: 1}
		e.Poll(time.Now())
	}
	reserved := m.numbers[spi]
	_, again := withKernel(t, ipsec.Replica, &memory{numbers: maps.Clone(m.numbers)}, g)
	if n := again.pairs[0].Numbers[spi]; n != reserved || n < 1_300_000 {
		t.Errorf("after a crash the kernel goes on after %d, want %d", n, reserved)
	}
	m.fails = true
	if _, err := ipsec.New(ipsec.Config{Kernel: &fakeKernel{}, Pairs: []ipsec.PairConfig{
		{Pair: pair, Side: ipsec.Replica, Generations: []ipsec.Generation{g}, Store: m}}}); !errors.Is(err, errStore) {
		t.Errorf("numbers are used that could not be reserved: %v", err)
	}
}

// The home agent's tunnel follows the registration; where the kernel refuses, the
// registration fails.
func TestKernelTunnel(t *testing.T) {
	e, k := withKernel(t, ipsec.HomeAgent, &memory{}, generate(t, 1, esp.AESGCM))
	p := ipsec.NewPlane(e, planetest.New())
	at := func(careOf netip.Addr) dataplane.Tunnel {
		return dataplane.Tunnel{Home: pair.Home, CareOf: careOf, HomeAgent: pair.HomeAgent}
	}
	for _, step := range []struct {
		do   func() error
		want bool
	}{
		{func() error { return p.SetTunnel(at(pair.CareOf)) }, true},
		{func() error { return p.SetTunnel(at(clientAddr)) }, false},
		{func() error { return p.SetTunnel(at(pair.CareOf)) }, true},
		{func() error { return p.RemoveTunnel(pair.Home) }, false},
	} {
		if err := step.do(); err != nil || k.pairs[0].Tunnel != step.want {
			t.Errorf("tunnel %v, %v; want %v", k.pairs[0].Tunnel, err, step.want)
		}
	}
	k.fails = errors.New("no buffer space available")
	if err := p.SetTunnel(at(pair.CareOf)); !errors.Is(err, k.fails) {
		t.Errorf("declared in vain: %v", err)
	}
	if _, err := e.Roll(time.Now(), ipsec.Which{}, ""); !errors.Is(err, k.fails) {
		t.Errorf("roll: %v", err)
	}
	if s := e.State(); len(s) != 1 {
		t.Errorf("%d generations after a roll that failed", len(s))
	}
}

// What the kernel dropped is counted.
func TestKernelUnprotected(t *testing.T) {
	e, k := withKernel(t, ipsec.HomeAgent, &memory{}, generate(t, 1, esp.AESGCM))
	for _, n := range []uint64{0, 2, 2, 5} {
		k.unprotected = n
		e.Poll(time.Now())
		if got := e.Counters()[ipsec.CounterClearIn]; got != n {
			t.Errorf("%d counted, want %d", got, n)
		}
	}
}

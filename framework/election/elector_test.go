package election

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/vanycast/vanycast/anycast"
	"github.com/vanycast/vanycast/mipv6/bindings"
	"github.com/vanycast/vanycast/peer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// cell is a group of Electors with a home agent, in memory.
type cell struct {
	t       *testing.T
	mu      sync.Mutex
	home    *bindings.Cache
	running map[netip.Addr]*Elector
}

// homed is the contact address at one replica.
type homed struct {
	cell     *cell
	self     netip.Addr
	mu       sync.Mutex
	standing anycast.Standing
}

func (h *homed) Standing() anycast.Standing {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.standing
}

func (h *homed) Active(ctx context.Context) error { return h.register(7) }

func (h *homed) Succeed(_ context.Context, last uint16) error { return h.register(last + 1) }

func (h *homed) Confirm(context.Context) error { return h.register(h.Standing().Epoch + 1) }

func (h *homed) register(n uint16) error {
	h.cell.mu.Lock()
	r := h.cell.home.Update(time.Now(), bindings.Request{Key: homeKey, CareOf: h.self, Sequence: n, Lifetime: time.Hour, HomeRegistration: true})
	h.cell.mu.Unlock()
	h.mu.Lock()
	defer h.mu.Unlock()
	if !r.Status.Accepted() {
		if h.standing.Self {
			h.standing = anycast.Standing{Epoch: r.Sequence, Known: true}
		}
		return &anycast.SequenceError{Last: r.Sequence}
	}
	h.standing = anycast.Standing{Node: h.self, Self: true, Epoch: n, Known: true}
	return nil
}

func (h *homed) Follow(node netip.Addr, epoch uint16) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.standing.Self {
		h.standing = anycast.Standing{Node: node, Epoch: epoch, Known: true}
	}
}

// line is the channel of one replica.
type line struct {
	cell *cell
	from netip.Addr
}

func (l line) Call(ctx context.Context, to netip.Addr, kind peer.Kind, req []byte) ([]byte, error) {
	l.cell.mu.Lock()
	e := l.cell.running[to]
	l.cell.mu.Unlock()
	if kind != peer.KindContact || e == nil {
		return nil, errors.Join(peer.ErrUnreachable, syscall.ECONNREFUSED)
	}
	return Handler(func(c netip.Addr) (*Elector, bool) { return e, c == contact })(ctx, l.from, req)
}

// start runs an Elector until stop.
func (c *cell) start(name string) (e *Elector, stop func()) {
	var all []netip.Addr
	for _, n := range names {
		all = append(all, addressOf(n))
	}
	self := addressOf(name)
	e = New(Config{Contact: contact, Self: self, Candidates: all[:3], Replicas: all}, &homed{cell: c, self: self}, line{c, self})
	ctx, cancel := context.WithCancel(c.t.Context())
	done := make(chan struct{})
	c.mu.Lock()
	c.running[self] = e
	c.mu.Unlock()
	go func() {
		defer close(done)
		if err := e.Run(ctx); err != nil {
			c.t.Error(err)
		}
	}()
	return e, func() {
		c.mu.Lock()
		delete(c.running, self)
		c.mu.Unlock()
		cancel()
		<-done
	}
}

func (c *cell) registered() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	b, _ := c.home.Lookup(time.Now(), homeKey)
	return short.Replace(b.CareOf.String())
}

// The loop around the core: registration, loss, return, leaving, and what an
// operator sees of it.
func TestElector(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &cell{t: t, home: bindings.NewCache(bindings.Config{}), running: map[netip.Addr]*Elector{}}
		want := func(name string) {
			t.Helper()
			if got := c.registered(); got != name {
				t.Fatalf("the home agent has %s, want %s", got, name)
			}
			for a, e := range c.running {
				if i := e.Info(); i.Node != addressOf(name) || i.Self != (a == addressOf(name)) || !i.Self && !i.Lives {
					t.Errorf("%v: %+v, want %s", a, i, name)
				}
			}
		}
		_, stopGlass := c.start("glass")
		reich, stopReich := c.start("reich")
		adams, stopAdams := c.start("adams")
		moore, stopMoore := c.start("moore")
		time.Sleep(5 * time.Second)
		want("glass")
		if r, m := reich.Info().Rank, moore.Info().Rank; r != 2 || m != 0 {
			t.Errorf("ranks %d and %d", r, m)
		}

		stopGlass()
		time.Sleep(5 * time.Second)
		want("reich")
		if lost := adams.Info().Lost; len(lost) != 1 || lost[0] != addressOf("glass") {
			t.Errorf("adams misses %v", lost)
		}

		glass, stopGlass := c.start("glass")
		time.Sleep(5 * time.Second)
		want("reich")
		time.Sleep(10 * time.Second)
		want("glass")

		begin := time.Now()
		if err := glass.Leave(t.Context()); err != nil || time.Since(begin) > time.Second {
			t.Errorf("left after %v: %v", time.Since(begin), err)
		}
		time.Sleep(time.Second)
		want("reich")
		stopGlass()
		stopAdams()
		time.Sleep(5 * time.Second)
		want("reich")

		// Nobody is left who might take over.
		if err := reich.Leave(t.Context()); err != nil {
			t.Error(err)
		}
		stopReich()
		stopMoore()
	})
}

// A stranger is refused, and so is who asks about another address.
func TestHandlerRefuses(t *testing.T) {
	e := New(Config{Contact: contact, Self: addressOf("glass"), Candidates: []netip.Addr{addressOf("reich")}}, &homed{}, nil)
	h := Handler(func(c netip.Addr) (*Elector, bool) { return e, c == contact })
	for _, tc := range []struct {
		name  string
		from  string
		about netip.Addr
		ok    bool
	}{
		{"a replica", "reich", contact, true},
		{"a stranger", "adams", contact, false},
		{"another address", "reich", addressOf("moore"), false},
	} {
		b, err := h(t.Context(), addressOf(tc.from), marshalView(tc.about, View{}))
		if (err == nil) != tc.ok {
			t.Errorf("%s: % x, %v", tc.name, b, err)
		}
	}
	if _, err := h(t.Context(), addressOf("reich"), []byte{1}); !errors.Is(err, ErrMalformed) {
		t.Errorf("malformed: %v", err)
	}
}

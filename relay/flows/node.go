package flows

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"log/slog"
	"maps"
	"net/netip"
	"sync"
	"time"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/mhsock"
	"github.com/vanycast/vanycast/relay"
)

// Names of the counters (Node.Counters).
const (
	CounterUpdates = "updates_sent"  // Binding Updates
	CounterBound   = "flows_bound"   // flow bindings that the home agent accepted
	CounterRefused = "flows_refused" // that it did not
	CounterFailed  = "failed"        // exchanges that came to nothing
)

// Contact is a contact address whose connections may have flow bindings.
type Contact struct {
	Address, HomeAgent netip.Addr
	Lifetime           time.Duration // at most so long is asked for
}

// Config configures a Node.
type Config struct {
	CareOf netip.Addr // this replica's
	Logger *slog.Logger
}

// Deps are what a Node works with. It calls none of them with a lock held.
type Deps struct {
	Send func(*mipv6.Packet) error
	// Able asks the contact node whether the home agent takes flow bindings.
	Able func(ctx context.Context, contact netip.Addr) (bool, error)
	// Bound is told when the home agent has a flow binding for a connection, and
	// when it may not have it any more.
	Bound func(c relay.Conn, bound bool)
	Now   func() time.Time // default time.Now
}

// Node registers flows at the home agent. Its methods are safe for concurrent use,
// and none but Close waits.
type Node struct {
	cfg  Config
	deps Deps
	kick chan struct{}

	ctx  context.Context
	stop context.CancelFunc
	work sync.WaitGroup

	mu     sync.Mutex
	core   *core
	closed map[netip.Addr]chan struct{} // those who wait for the end of a contact address
}

// New makes a Node without contact addresses. Nothing happens before Run.
func New(cfg Config, deps Deps) *Node {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if deps.Now == nil {
		deps.Now = time.Now
	}
	n := &Node{cfg: cfg, deps: deps, kick: make(chan struct{}, 1), closed: make(map[netip.Addr]chan struct{}),
		core: newCore(cfg.CareOf, firstSequence)}
	n.ctx, n.stop = context.WithCancel(context.Background())
	return n
}

// BindingID is the Binding Identifier of a replica: every one has its own.
func BindingID(careOf netip.Addr) uint16 { return bindingID(careOf) }

func firstSequence() uint16 {
	var b [2]byte
	rand.Read(b[:]) // never fails
	return binary.BigEndian.Uint16(b[:])
}

// Add makes a contact address known.
func (n *Node) Add(ct Contact) {
	n.event(func(time.Time) { n.core.add(ct) })
}

// Want asks for a flow binding of a connection that is served here, with the
// number of its registration at the relay.
func (n *Node) Want(c relay.Conn, sequence uint16) {
	n.event(func(now time.Time) { n.core.want(now, c, sequence) })
}

// Unwant ends it.
func (n *Node) Unwant(c relay.Conn) {
	n.event(func(now time.Time) { n.core.unwant(now, c) })
}

// HandleMH takes a Mobility Header that this host received; false if it is not for
// this package.
func (n *Node) HandleMH(r mhsock.Received) (taken bool) {
	if t, ok := mipv6.PeekType(r.Message); !ok || t != mipv6.TypeBindingAcknowledgement || r.CareOf.IsValid() {
		return false
	}
	m, err := mipv6.Parse(r.Message)
	if err != nil {
		return false
	}
	ack := m.(*mipv6.BindingAcknowledgement)
	n.event(func(now time.Time) { taken = n.core.acknowledgement(now, r.Dst, r.Src, ack) })
	return taken
}

// Counters are totals since New.
func (n *Node) Counters() map[string]uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return maps.Clone(n.core.counters)
}

// event has the core take an event; what it wants done is done by Run.
func (n *Node) event(f func(now time.Time)) {
	n.mu.Lock()
	f(n.deps.Now())
	n.mu.Unlock()
	select {
	case n.kick <- struct{}{}:
	default:
	}
}

// Run does what is to be done, until ctx ends.
func (n *Node) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.ctx.Done():
			return
		case <-n.kick:
		case <-timer.C:
		}
		n.mu.Lock()
		n.core.poll(n.deps.Now())
		actions := n.core.take()
		n.mu.Unlock()
		for _, a := range actions {
			n.act(a)
		}
		n.mu.Lock()
		at, ok := n.core.next()
		n.mu.Unlock()
		timer.Stop()
		if ok {
			timer.Reset(max(0, at.Sub(n.deps.Now())))
		}
	}
}

func (n *Node) act(a action) {
	switch a := a.(type) {
	case askAction:
		n.work.Go(func() {
			ctx, cancel := context.WithTimeout(n.ctx, askTimeout)
			defer cancel()
			able, err := n.deps.Able(ctx, a.contact)
			n.event(func(now time.Time) { n.core.answered(now, a.contact, able, err) })
		})
	case sendAction:
		p := &mipv6.Packet{Src: n.cfg.CareOf, Dst: a.agent, HomeAddress: a.home}
		err := p.Carry(a.message, nil)
		if err == nil {
			err = n.deps.Send(p)
		}
		if err != nil { // lost, as on any link
			n.cfg.Logger.Warn("flow bindings not sent", "contact", a.home, "home_agent", a.agent, "err", err)
		}
	case boundAction:
		n.deps.Bound(a.conn, a.bound)
	case closedAction:
		n.mu.Lock()
		if ch := n.closed[a.contact]; ch != nil {
			close(ch)
			delete(n.closed, a.contact)
		}
		n.mu.Unlock()
	case logAction:
		n.cfg.Logger.Log(n.ctx, a.level, a.msg, a.args...)
	}
}

// Remove takes a contact address's registration back, while Run runs; it waits a
// moment for the home agent's answer. What it does not take back lapses by itself.
func (n *Node) Remove(ctx context.Context, contact netip.Addr) {
	ctx, cancel := context.WithTimeout(ctx, farewell)
	defer cancel()
	ch := make(chan struct{})
	pending := true
	n.event(func(now time.Time) {
		n.closed[contact] = ch
		n.core.close(now, contact)
		pending = n.core.contacts[contact] != nil
	})
	if !pending {
		return
	}
	select {
	case <-ch:
	case <-ctx.Done():
	case <-n.ctx.Done():
	}
}

// Close ends everything under way.
func (n *Node) Close() {
	n.stop()
	n.work.Wait()
}

package anycast

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/mipv6/mhsock"
	"github.com/vanycast/vanycast/mipv6/rr"
	"github.com/vanycast/vanycast/relay"
	"github.com/vanycast/vanycast/relay/flows"
)

// Node is the mobile node's half of Mobile IPv6 at one replica: the loop around
// the core. Its methods and those of its addresses are safe for concurrent use.
type Node struct {
	cfg   Config
	deps  Deps
	flows *flows.Node // its lock is taken under the relay's
	relay *relay.Node // its lock is taken under ours, never the other way round

	mu      sync.Mutex
	core    *core
	waiting map[opID]chan result
	last    opID
	closed  bool

	kick  chan struct{} // the core has something to wait for that comes sooner
	armed time.Time     // when Run looks after the timers, zero if it has none

	background context.Context // of what goes on behind a caller's back
	stop       context.CancelFunc
	tasks      sync.WaitGroup
	passing    chan struct{} // bounds the refresh requests that are being passed on

	following map[pair]struct{} // clients whose bindings are on their way elsewhere
}

// result is what an operation ends with.
type result struct {
	token rr.HomeToken
	err   error
}

// New makes a Node without contact addresses. Run must run for anything to time
// out.
func New(cfg Config, deps Deps) (*Node, error) {
	if err := cfg.check(&deps); err != nil {
		return nil, err
	}
	n := &Node{cfg: cfg, deps: deps, waiting: make(map[opID]chan result), kick: make(chan struct{}, 1), passing: make(chan struct{}, maxPassing), following: make(map[pair]struct{})}
	n.relay = relay.New(relay.Config{
		Self: cfg.CareOf, Timeout: cfg.HandoffTimeout, MaxEntries: cfg.MaxClients,
		InUse: cfg.Connected, Local: cfg.Connections, Pending: cfg.Pending, Moved: n.contactNodeMoved, Vacant: n.vacant, Orphaned: n.orphaned, Logger: cfg.Logger,
		Flows: flowsOf{n},
	}, relay.Deps{Plane: deps.Plane, Peers: deps.Peers, Now: deps.Now})
	n.flows = n.newFlows()
	n.background, n.stop = context.WithCancel(context.Background())
	n.core = newCore(coreConfig{
		careOf: cfg.CareOf, maxClients: cfg.MaxClients,
	})
	return n, nil
}

// Run drives the timers until ctx ends; it returns nil then.
func (n *Node) Run(ctx context.Context) error {
	n.tasks.Go(func() { n.relay.Run(ctx) })
	n.tasks.Go(func() { n.flows.Run(ctx) })
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-n.kick:
		case <-timer.C:
			n.mu.Lock()
			n.armed = time.Time{} // the event says what is next
			n.mu.Unlock()
			n.event(n.core.poll)
		}
		n.mu.Lock()
		at := n.armed
		n.mu.Unlock()
		if at.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(max(0, at.Sub(n.deps.Now())))
		}
	}
}

// Close ends all contact addresses as Address.Close does, and all that goes on
// in the background. It leaves no trace on the host, whatever it returns.
func (n *Node) Close(ctx context.Context) error {
	n.mu.Lock()
	var all []*Address
	for home := range n.core.contacts {
		all = append(all, &Address{n, home})
	}
	n.mu.Unlock()
	errs := make([]error, len(all))
	var wg sync.WaitGroup
	for i, a := range all {
		wg.Go(func() { errs[i] = a.Close(ctx) })
	}
	wg.Wait()
	n.mu.Lock()
	n.closed = true
	n.mu.Unlock()
	n.stop()
	n.relay.Close()
	n.flows.Close()
	n.tasks.Wait()
	return errors.Join(errs...)
}

// HandleMH takes a Mobility Header that the shared socket received; false if it
// is for another role.
func (n *Node) HandleMH(r mhsock.Received) (taken bool) {
	if n.flows.HandleMH(r) {
		return true
	}
	n.event(func(now time.Time) { taken = n.core.receive(now, r) })
	return taken
}

// HandleICMP takes an ICMPv6 error about a Mobility Header of this host; false if
// it is about another role's.
func (n *Node) HandleICMP(e mhsock.ICMPError) (taken bool) {
	n.event(func(now time.Time) { taken = n.core.icmp(now, e) })
	return taken
}

// inUse reports whether a binding deserves to be refreshed.
func (n *Node) inUse(p pair) bool {
	if n.cfg.InUse != nil && n.cfg.InUse(p.Home, p.Client) || n.relay.Anchors(p.Home, p.Client) {
		return true
	}
	last, err := n.deps.Plane.LastUsed(dataplane.Flow{Home: p.Home, Client: p.Client})
	if err != nil {
		n.cfg.Logger.Warn("last use of binding unknown", "contact", p.Home, "client", p.Client, "err", err)
		return true
	}
	return !last.IsZero() && n.deps.Now().Sub(last) < idleUse
}

// event lets the core have an event and does what it wants done.
func (n *Node) event(f func(now time.Time)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return
	}
	f(n.deps.Now())
	n.perform()
	for home, ct := range n.core.contacts {
		if now := (told{ct.contactNode, true}); ct.told != now {
			ct.told = now
			n.relay.SetContactNode(home, ct.contactNode)
		}
	}
	// Most events make timers later or take them away: it is enough to see that
	// when the time comes.
	if at, ok := n.core.next(); ok && (n.armed.IsZero() || at.Before(n.armed)) {
		n.armed = at
		select {
		case n.kick <- struct{}{}:
		default:
		}
	}
}

// wait begins an operation and waits for its end, at most timeout. The operation
// is over when it returns.
func (n *Node) wait(ctx context.Context, timeout time.Duration, begin func(now time.Time, id opID)) (rr.HomeToken, error) {
	ch := make(chan result, 1)
	var id opID
	n.event(func(now time.Time) {
		n.last++
		id = n.last
		n.waiting[id] = ch
		begin(now, id)
	})
	if id == 0 {
		return rr.HomeToken{}, fmt.Errorf("anycast: %w", ErrClosed)
	}
	select {
	case r := <-ch: // over at once: nothing to wait for
		return r.token, r.err
	default:
	}
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	cause := ErrTimeout
	select {
	case r := <-ch:
		return r.token, r.err
	case <-n.background.Done():
		return rr.HomeToken{}, fmt.Errorf("anycast: %w", ErrClosed)
	case <-ctx.Done():
		cause = context.Cause(ctx)
	case <-timer.C:
	}
	n.event(func(now time.Time) { n.core.cancel(now, id, cause) })
	select {
	case r := <-ch:
		return r.token, r.err
	case <-n.background.Done():
		return rr.HomeToken{}, fmt.Errorf("anycast: %w", ErrClosed)
	}
}

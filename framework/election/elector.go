package election

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/vanycast/vanycast/anycast"
	"github.com/vanycast/vanycast/peer"
)

// Address is the contact address; *anycast.Address is one.
type Address interface {
	Standing() anycast.Standing
	Active(ctx context.Context) error
	Succeed(ctx context.Context, last uint16) error
	Confirm(ctx context.Context) error
	Follow(node netip.Addr, epoch uint16)
}

// Caller is the replicas' secure channel: *peer.Node.
type Caller interface {
	Call(ctx context.Context, to netip.Addr, kind peer.Kind, req []byte) ([]byte, error)
}

// Elector is the loop around a core. Its methods are safe for concurrent use.
type Elector struct {
	cfg     Config
	address Address
	peers   Caller

	mu   sync.Mutex
	core *core
	ctx  context.Context // of Run; nil before it runs and after it
	work sync.WaitGroup
	kick chan struct{}
}

// New makes an Elector for one contact address. Run must run for anything to
// happen.
func New(cfg Config, address Address, peers Caller) *Elector {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	e := &Elector{cfg: cfg, address: address, peers: peers, kick: make(chan struct{}, 1)}
	e.core = newCore(cfg, time.Now())
	return e
}

// Run takes part in the election until ctx ends; it returns nil then. What it has
// become it stays: who ends calls Leave before.
func (e *Elector) Run(ctx context.Context) error {
	e.mu.Lock()
	e.ctx, e.core.began = ctx, time.Now()
	e.mu.Unlock()
	ticker := time.NewTicker(e.core.t.Beat / ticks)
	defer ticker.Stop()
	for ctx.Err() == nil {
		e.event(e.core.poll)
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
	e.mu.Lock()
	e.ctx = nil
	e.mu.Unlock()
	e.work.Wait()
	return nil
}

// Leave hands the role over to another candidate, if this replica has it and one is
// there, and returns when that has taken it, or with an error when ctx ends. From
// then on it does not become contact node any more.
func (e *Elector) Leave(ctx context.Context) error {
	for {
		successor := false
		e.event(func(now time.Time) { successor = e.core.leave(now) })
		if !successor {
			return nil
		}
		<-e.kick // that was ours
		select {
		case <-e.kick:
		case <-ctx.Done():
			return fmt.Errorf("election: nobody has taken over %v: %w", e.cfg.Contact, context.Cause(ctx))
		}
	}
}

// event lets the core have an event and does what it wants done.
func (e *Elector) event(f func(now time.Time)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	e.core.standing(now, e.address.Standing())
	f(now)
	for _, a := range e.core.take() {
		e.act(a)
	}
	select {
	case e.kick <- struct{}{}:
	default:
	}
}

// act carries an action out, what takes time in the background. The lock is held.
func (e *Elector) act(a action) {
	switch a := a.(type) {
	case pingAction:
		e.start(func(ctx context.Context) { e.ping(ctx, a) })
	case succeedAction:
		e.start(func(ctx context.Context) {
			var err error
			if a.known {
				err = e.address.Succeed(ctx, a.epoch)
			} else {
				err = e.address.Active(ctx)
			}
			e.registered(ctx, err)
		})
	case confirmAction:
		e.start(func(ctx context.Context) { e.registered(ctx, e.address.Confirm(ctx)) })
	case followAction:
		e.address.Follow(a.node, a.epoch)
	case logAction:
		e.cfg.Logger.Log(context.Background(), a.level, a.msg, a.args...)
	}
}

func (e *Elector) start(f func(context.Context)) {
	if ctx := e.ctx; ctx != nil && ctx.Err() == nil {
		e.work.Go(func() { f(ctx) })
	}
}

func (e *Elector) registered(ctx context.Context, err error) {
	if ctx.Err() == nil {
		e.event(func(now time.Time) { e.core.registered(now, err) })
	}
}

// ping tells one replica our view and hears its.
func (e *Elector) ping(ctx context.Context, a pingAction) {
	ctx, cancel := context.WithTimeout(ctx, e.core.t.Silence)
	defer cancel()
	v, err := e.call(ctx, a)
	e.event(func(now time.Time) {
		if err == nil {
			e.core.heard(now, a.to, v, true)
		} else {
			e.core.failed(now, a.to, errors.Is(err, syscall.ECONNREFUSED))
		}
	})
}

func (e *Elector) call(ctx context.Context, a pingAction) (View, error) {
	if e.peers == nil {
		return View{}, peer.ErrUnreachable
	}
	b, err := e.peers.Call(ctx, a.to, peer.KindContact, marshalView(e.cfg.Contact, a.view))
	if err != nil {
		return View{}, err
	}
	contact, v, err := parseView(b)
	if err == nil && contact != e.cfg.Contact {
		err = fmt.Errorf("election: %w: %v answers about %v", ErrMalformed, a.to, contact)
	}
	return v, err
}

// answer takes another replica's view and gives ours.
func (e *Elector) answer(from netip.Addr, v View) (ours View, ok bool) {
	e.event(func(now time.Time) {
		if ok = e.core.member(from) != nil; ok {
			e.core.heard(now, from, v, false)
			ours = e.core.view(now)
		}
	})
	return ours, ok
}

// Handler answers calls of kind peer.KindContact; find gives the Elector of a contact
// address.
func Handler(find func(contact netip.Addr) (*Elector, bool)) peer.Handler {
	return func(_ context.Context, from netip.Addr, req []byte) ([]byte, error) {
		contact, v, err := parseView(req)
		if err != nil {
			return nil, err
		}
		e, ok := find(contact)
		if ok {
			v, ok = e.answer(from, v)
		}
		if !ok {
			return nil, fmt.Errorf("election: %v is no replica of %v here", from, contact)
		}
		return marshalView(contact, v), nil
	}
}

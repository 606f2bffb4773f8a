package framework

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vanycast/vanycast/handoff"
	"github.com/vanycast/vanycast/internal/crew"
)

// Service is one service at this replica. Its methods are safe for concurrent
// use.
type Service struct {
	cfg  Config
	deps Deps
	log  *slog.Logger

	ln    *listener
	watch *watcher

	calls chan func()   // events, each run by the loop
	ended chan struct{} // the loop is over
	ctx   context.Context
	stop  context.CancelFunc // ends probes, binds and handoffs
	crew  *crew.Crew         // that does it
	work  sync.WaitGroup     // what the loop started
	slots chan struct{}      // one for each client that may be distributed at one time

	// What follows belongs to the loop.
	core     *core
	standing *board
	watching atomic.Bool // some connections are watched for their progress
	conns    map[key]*conn
	sockets  map[socketID]*ServerSocket
	answers  map[key]chan<- result
	orders   map[key]chan<- error
	policies map[string]Policy
	closing  bool

	preparing int // Prepares under way
}

// keptGoroutines is how many wait for the next client to be distributed.
const keptGoroutines = 64

// New makes a service and opens its listening socket; clients are accepted once
// Run runs. The contact address need not be on the host yet.
func New(cfg Config, deps Deps) (*Service, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if deps.Policy == nil {
		deps.Policy = NewPolicy
	}
	if deps.SameHost == nil {
		deps.SameHost = func(netip.Addr) bool { return false }
	}
	if deps.Live == nil {
		deps.Live = NewLive()
	}
	if deps.Observe == nil {
		deps.Observe = func(Event) {}
	}
	if deps.Logger == nil {
		deps.Logger = slog.New(slog.DiscardHandler)
	}
	cfg.fallsBack = deps.Fallback != nil
	s := &Service{
		cfg: cfg, deps: deps, log: deps.Logger.With("service", cfg.Service),
		calls: make(chan func()), ended: make(chan struct{}),
		crew:     crew.New(keptGoroutines),
		slots:    make(chan struct{}, cfg.Backlog),
		core:     newCore(cfg, deps.Address.IsContactNode, deps.relays, deps.Live),
		standing: newBoard(),
		conns:    make(map[key]*conn),
		sockets:  make(map[socketID]*ServerSocket),
		answers:  make(map[key]chan<- result),
		orders:   make(map[key]chan<- error),
		policies: make(map[string]Policy),
	}
	if _, err := s.policy(cfg.Policy); err != nil {
		return nil, err
	}
	if s.ln, err = listen(cfg.Contact, cfg.Backlog); err != nil {
		return nil, err
	}
	if s.watch, err = newWatcher(); err != nil {
		s.ln.close()
		return nil, err
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	return s, nil
}

// Name is the service's name.
func (s *Service) Name() string { return s.cfg.Service }

// Contact is the contact address and the port that is listened on.
func (s *Service) Contact() netip.AddrPort { return s.ln.addr }

// Run serves until the context ends or Close is called, then closes the clients
// as Close does, without a bound but Config.Linger. It returns nil then, or why
// no more clients could be accepted.
func (s *Service) Run(ctx context.Context) error {
	failed := make(chan error, 1)
	loop := make(chan struct{})
	go func() { defer close(loop); s.loop() }()
	go s.watch.run(func(k key) { s.post(func() { s.core.finished(k) }) })
	go s.acceptClients(failed)
	s.askStandings()
	if s.deps.Fallback != nil {
		s.spawn(s.watchProgress)
	}

	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	case <-loop:
	}
	s.Close(context.WithoutCancel(ctx))
	s.work.Wait()
	s.crew.Close()
	return err
}

// Close stops accepting, closes all clients in order, with a FIN each, and waits
// for that until the context ends; then what is left is closed at once. The
// service must run or have run.
func (s *Service) Close(ctx context.Context) error {
	s.post(func() {
		if s.closing {
			return
		}
		s.closing = true
		for _, fd := range s.ln.drain() {
			s.newConn(fd)
		}
		s.stop()
		s.core.shutdown()
		for _, ss := range s.sockets {
			ss.fail()
		}
	})
	select {
	case <-s.ended:
		return nil
	case <-ctx.Done():
		s.post(func() {
			for _, c := range s.conns {
				c.hurry()
			}
		})
		<-s.ended
		return ctx.Err()
	}
}

// post has the loop run an event. It does nothing after the loop's end.
func (s *Service) post(event func()) {
	select {
	case s.calls <- event:
	case <-s.ended:
	}
}

// call has the loop run an event and waits for it.
func (s *Service) call(event func()) error {
	done := make(chan struct{})
	s.post(func() { defer close(done); event() })
	select {
	case <-done:
		return nil
	case <-s.ended:
		select {
		case <-done: // the loop ended with this very event
			return nil
		default:
			return ErrClosed
		}
	}
}

// loop runs the events one after the other, carries out what each asks for, and
// tells the core of the time.
func (s *Service) loop() {
	defer close(s.ended)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		if at, ok := s.core.next(); ok {
			timer.Reset(time.Until(at))
		} else {
			timer.Stop()
		}
		select {
		case event := <-s.calls:
			event()
		case now := <-timer.C:
			s.core.tick(now)
		}
		for acts := s.core.take(); len(acts) > 0; acts = s.core.take() {
			for _, a := range acts {
				s.perform(a)
			}
		}
		s.standing.put(s.core.standing())
		s.watching.Store(len(s.core.progress) > 0)
		if s.closing && len(s.conns) == 0 {
			s.watch.close()
			return
		}
	}
}

// Admit says whether a client that a peer offers can be taken: nil keeps a place
// for it for a while; else the error is a *handoff.RefusedError.
func (s *Service) Admit(_ context.Context, o handoff.Offer) error {
	var err error
	if s.call(func() { err = s.core.admit(time.Now(), o) }) != nil {
		return &handoff.RefusedError{Reason: handoff.ReasonDraining}
	}
	return err
}

// Deliver takes a client that a peer handed off; the service owns its
// descriptor from now on.
func (s *Service) Deliver(h *handoff.Client) {
	c := &conn{client: *h}
	err := s.call(func() {
		k := s.core.arrived(time.Now(), h)
		s.conns[k] = c
		s.guard(c.client.FD, k)
	})
	if err != nil { // the service ended between Admit and here
		closeInOrder(c.client.FD, s.cfg.Linger, nil)
	}
}

// policy gives the policy of a name, always the same one.
func (s *Service) policy(name string) (Policy, error) {
	if p := s.policies[name]; p != nil {
		return p, nil
	}
	p, err := s.deps.Policy(name)
	if err == nil {
		s.policies[name] = p
	}
	return p, err
}

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

	ended chan struct{} // closed when over
	kick  chan struct{} // there is something to wait for that comes sooner
	ctx   context.Context
	stop  context.CancelFunc // ends probes, binds and handoffs
	crew  *crew.Crew         // that does it
	work  sync.WaitGroup     // what was started
	slots chan struct{}      // one for each client that may be distributed at one time

	// mu makes events follow one another; what follows is theirs.
	mu       sync.Mutex
	over     bool      // all clients are closed, and there will be no more
	armed    time.Time // when keepTime looks at the time, zero if it does not
	core     *core
	standing *board
	watching atomic.Bool // some connections are watched for their progress
	conns    map[key]*conn
	sockets  map[socketID]*ServerSocket
	answers  map[key]func(*Taken, error)
	orders   map[key]chan<- error
	policies map[string]Policy
	closing  bool

	preparing int // Prepares under way
}

// keptGoroutines is how many wait for the next client to be distributed.
const keptGoroutines = 256

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
		ended: make(chan struct{}), kick: make(chan struct{}, 1),
		crew:     crew.New(keptGoroutines),
		slots:    make(chan struct{}, cfg.Backlog),
		core:     newCore(cfg, deps.Address.IsContactNode, deps.relays, deps.Live),
		standing: newBoard(),
		conns:    make(map[key]*conn),
		sockets:  make(map[socketID]*ServerSocket),
		answers:  make(map[key]func(*Taken, error)),
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
	s.work.Go(s.keepTime)
	go s.watch.run(func(k key) { s.event(func() { s.core.finished(k) }) })
	go s.acceptClients(failed)
	s.askStandings()
	if s.deps.Fallback != nil {
		s.spawn(s.watchProgress)
	}

	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	case <-s.ended:
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
	s.event(func() {
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
		s.event(func() {
			for _, c := range s.conns {
				c.hurry()
			}
		})
		<-s.ended
		return ctx.Err()
	}
}

// event lets the core have an event and carries out what it asks for; false if the
// service is over. It never waits, and does not run in another event.
func (s *Service) event(f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return false
	}
	f()
	for acts := s.core.take(); len(acts) > 0; acts = s.core.take() {
		for _, a := range acts {
			s.perform(a)
		}
	}
	s.standing.put(s.core.standing())
	s.watching.Store(len(s.core.progress) > 0)
	if s.closing && len(s.conns) == 0 {
		s.end()
		return true
	}
	// Most events make what is waited for later or take it away: it is enough to
	// see that when the time comes.
	if at, ok := s.core.next(); ok && (s.armed.IsZero() || at.Before(s.armed)) {
		s.armed = at
		select {
		case s.kick <- struct{}{}:
		default:
		}
	}
	return true
}

// call is event for who wants to know by an error.
func (s *Service) call(f func()) error {
	if !s.event(f) {
		return ErrClosed
	}
	return nil
}

// end is the end of the last event.
func (s *Service) end() {
	s.over = true
	s.watch.close()
	close(s.ended)
	for _, answer := range s.answers {
		answer(nil, ErrClosed)
	}
	s.answers = nil
}

// keepTime tells the core of the time until the service is over.
func (s *Service) keepTime() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-s.ended:
			return
		case <-s.kick:
		case now := <-timer.C:
			s.event(func() {
				s.armed = time.Time{} // the event says what is next
				s.core.tick(now)
			})
		}
		s.mu.Lock()
		at := s.armed
		s.mu.Unlock()
		if at.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(time.Until(at))
		}
	}
}

// Admit says whether a client that a peer offers can be taken: nil keeps a place
// for it for a while; else the error is a *handoff.RefusedError.
func (s *Service) Admit(o handoff.Offer) error {
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

package tcbpf

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/cilium/ebpf/ringbuf"
	"github.com/cilium/ebpf/rlimit"
	"github.com/vishvananda/netlink"

	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/mipv6/internal/hostnet"
	"github.com/vanycast/vanycast/mipv6/internal/pathmtu"
)

// Plane implements dataplane.Plane by eBPF programs at tc.
type Plane struct {
	cfg    Config
	logger *slog.Logger
	lock   net.Listener

	host     *hostnet.Host
	programs *programs

	ring      *ringbuf.Reader
	events    chan dataplane.Event
	takenRing *ringbuf.Reader
	taken     chan []byte
	icmp      *pathmtu.Sockets
	tells     atomic.Int32 // Packet Too Big messages that may still be sent in this second

	keeper   *keeper // nil: nothing can be kept, for the reason in noKeeper
	noKeeper error
	stamps   *stamps
	own      ownCounters

	stop  context.CancelFunc
	loops sync.WaitGroup

	mu       sync.Mutex // guards what follows, and every change to the host
	closed   bool
	contacts map[netip.Addr]*contact
	flows    map[dataplane.Flow]*flow
	// connections are those of flows that have ports, by their client.
	connections map[path]map[dataplane.Flow]*flow
	batch       *batch               // while SetRoutes collects
	hops        map[ends]hostnet.Hop // see hopTo
	bindings    map[bindingID]dataplane.Binding
	tunnels     map[netip.Addr]dataplane.Tunnel
	homes       map[netip.Addr]*home
	locals      map[netip.Addr]bool
	gone        []netip.Addr // removed contact addresses, oldest first
	narrow      map[path]narrowPath
}

var _ dataplane.Plane = (*Plane)(nil)

// New attaches the programs to the interface, takes away what a dead process
// left in this network namespace, and begins to follow the host's routes. The
// plane stays in the namespace of the calling thread.
func New(cfg Config) (*Plane, error) {
	cfg = cfg.withDefaults()
	p := &Plane{
		cfg:         cfg,
		logger:      cfg.Logger,
		events:      make(chan dataplane.Event, cfg.MaxEvents),
		taken:       make(chan []byte, cfg.MaxEvents),
		contacts:    map[netip.Addr]*contact{},
		flows:       map[dataplane.Flow]*flow{},
		connections: map[path]map[dataplane.Flow]*flow{},
		hops:        map[ends]hostnet.Hop{},
		bindings:    map[bindingID]dataplane.Binding{},
		tunnels:     map[netip.Addr]dataplane.Tunnel{},
		homes:       map[netip.Addr]*home{},
		locals:      map[netip.Addr]bool{},
		narrow:      map[path]narrowPath{},
	}
	if err := p.start(); err != nil {
		return nil, errors.Join(fmt.Errorf("tcbpf: on interface %s: %w", cfg.Interface, err), p.release())
	}
	return p, nil
}

func (p *Plane) start() (err error) {
	if p.lock, err = hostnet.Lock(); err != nil {
		return err
	}
	if p.host, err = hostnet.Open(p.cfg.Interface, p.cfg.RulePriority); err != nil {
		return err
	}
	kept, err := p.prepare()
	if err != nil {
		return err
	}
	if p.takenRing, err = ringbuf.NewReader(p.programs.Taken); err != nil {
		return fmt.Errorf("reading packets: %w", err)
	}
	if p.icmp, err = pathmtu.Open(); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	p.stop = stop
	changes, err := hostnet.Subscribe(ctx, p.logger)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil { // nobody will follow
			p.loops.Go(changes.Drain)
		}
	}()
	if err := p.syncLocals(); err != nil {
		return err
	}
	left, err := p.findLeftovers()
	if err != nil {
		return err
	}
	// The dead process's filters still guard its contact addresses; ours must
	// know them before they take over, and only then may the rules go.
	for _, h := range left.Homes() {
		if err := p.markGone(h, mapContact{}); err != nil {
			return err
		}
	}
	if err := attach(p.host.Netlink, p.host.Link, p.programs.fds()); err != nil {
		return err
	}
	if err := p.removeLeftovers(left); err != nil {
		return err
	}
	if p.keeper != nil {
		if err := p.startKeeper(kept); err != nil {
			return err
		}
	}
	p.loops.Go(func() { p.readEvents() })
	p.loops.Go(func() { p.readTaken() })
	p.loops.Go(func() { p.readTooBig() })
	p.loops.Go(func() { p.follow(ctx, changes) })
	return nil
}

// prepare loads the programs, and makes what this process shares with them.
func (p *Plane) prepare() (kept netlink.Link, err error) {
	if err := rlimit.RemoveMemlock(); err != nil {
		return nil, fmt.Errorf("raising RLIMIT_MEMLOCK: %w", err)
	}
	tun, kept, err := p.makeTUN()
	if err != nil {
		p.noKeeper = err
		p.logger.Warn("nothing can be kept for held flows, and no connection steered", "error", err)
	}
	keeperIndex := 0
	if kept != nil {
		keeperIndex = kept.Attrs().Index
	}
	if p.programs, err = load(p.cfg, p.host.Link, keeperIndex); err != nil {
		return nil, errors.Join(err, closeTUN(tun))
	}
	if tun != nil {
		if err := p.makeKeeper(tun, keeperIndex); err != nil {
			return nil, err
		}
	}
	if p.stamps, err = newStamps(p.programs.Stamps); err != nil {
		return nil, err
	}
	if p.ring, err = ringbuf.NewReader(p.programs.Events); err != nil {
		return nil, fmt.Errorf("reading events: %w", err)
	}
	p.tells.Store(maxTells)
	return kept, nil
}

// Close takes everything of this plane off the host. What could not be taken
// off is in the error; the next New on this host tries again.
func (p *Plane) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	p.closed = true
	var errs []error
	for _, c := range p.contacts {
		errs = append(errs, p.undoContact(c))
	}
	for addr, h := range p.homes {
		errs = append(errs, p.host.DeleteRoute(h.installed))
		delete(p.homes, addr)
	}
	errs = append(errs, detach(p.host.Netlink, p.host.Link))
	p.mu.Unlock()
	if err := errors.Join(append(errs, p.release())...); err != nil {
		return fmt.Errorf("tcbpf: closing: %w", err)
	}
	return nil
}

// release ends the loops and gives back what the process holds.
func (p *Plane) release() error {
	var errs []error
	if p.stop != nil {
		p.stop()
	}
	if p.ring != nil {
		errs = append(errs, p.ring.Close())
	}
	if p.takenRing != nil {
		errs = append(errs, p.takenRing.Close())
	}
	if p.icmp != nil {
		errs = append(errs, p.icmp.Close())
	}
	if p.keeper != nil {
		errs = append(errs, p.keeper.Close())
	}
	p.loops.Wait()
	if p.events != nil { // a plane that only cleans up has none
		close(p.events)
	}
	if p.programs != nil {
		errs = append(errs, p.programs.Close())
	}
	if p.host != nil {
		errs = append(errs, p.host.Close())
	}
	if p.lock != nil {
		errs = append(errs, p.lock.Close())
	}
	return errors.Join(errs...)
}

// enter begins a call that changes or reads the declared state; the caller
// unlocks mu.
func (p *Plane) enter() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return fmt.Errorf("tcbpf: %w", dataplane.ErrClosed)
	}
	return nil
}

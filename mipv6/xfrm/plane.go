package xfrm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"

	"github.com/mdlayher/netlink"

	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/mipv6/internal/hostnet"
	"github.com/vanycast/vanycast/mipv6/internal/pathmtu"
	"github.com/vanycast/vanycast/mipv6/tcbpf"
)

// Plane implements dataplane.Plane by the kernel's Mobile IPv6.
type Plane struct {
	cfg    Config
	logger *slog.Logger
	lock   net.Listener

	host       *hostnet.Host
	conn       *conn
	preference uint16 // of the guards

	reports *reports
	events  chan dataplane.Event
	icmp    *pathmtu.Sockets
	// beside is what the kernel's Mobile IPv6 cannot do; nil where this kernel has
	// no eBPF, for the reason in noBeside.
	beside   *tcbpf.Beside
	noBeside error
	own      ownCounters

	stop  context.CancelFunc
	loops sync.WaitGroup

	mu       sync.Mutex // guards what follows, and every change to the host
	closed   bool
	contacts map[netip.Addr]*contact
	flows    map[dataplane.Flow]*flow
	// optimised is how many flows of a client are: they share its state.
	optimised map[dataplane.Flow]int
	bindings  map[bindingID]dataplane.Binding
	tunnels   map[netip.Addr]dataplane.Tunnel
	homes     map[netip.Addr]*home
	devices   map[ends]*device
	guards    map[netip.Addr]*guard
	locals    map[netip.Addr]bool
	past      map[string]uint64 // what was counted by what has gone
}

var _ dataplane.Plane = (*Plane)(nil)

// New takes away what a dead process left in this network namespace, puts there
// what every plane needs, and begins to follow the host. The plane stays in the
// namespace of the calling thread.
func New(cfg Config) (*Plane, error) {
	cfg = cfg.withDefaults()
	p := &Plane{
		cfg:       cfg,
		logger:    cfg.Logger,
		events:    make(chan dataplane.Event, cfg.MaxEvents),
		contacts:  map[netip.Addr]*contact{},
		flows:     map[dataplane.Flow]*flow{},
		optimised: map[dataplane.Flow]int{},
		bindings:  map[bindingID]dataplane.Binding{},
		tunnels:   map[netip.Addr]dataplane.Tunnel{},
		homes:     map[netip.Addr]*home{},
		devices:   map[ends]*device{},
		guards:    map[netip.Addr]*guard{},
		locals:    map[netip.Addr]bool{},
		past:      map[string]uint64{},
	}
	if err := p.start(); err != nil {
		return nil, errors.Join(fmt.Errorf("xfrm: on interface %s: %w", cfg.Interface, err), p.release())
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
	if p.conn, err = dial(); err != nil {
		return err
	}
	if p.reports, err = openReports(); err != nil {
		return err
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
	if err := p.takeOver(); err != nil {
		return err
	}
	p.standBeside()
	if err := p.tryKernel(); err != nil {
		return errors.Join(err, p.detach(), p.closeGuards())
	}
	if err := p.install(hostRules(p.cfg.IgnoreHomeAddress)); err != nil {
		return errors.Join(err, p.uninstall(hostRules(p.cfg.IgnoreHomeAddress)), p.detach(), p.closeGuards())
	}
	p.loops.Go(p.readReports)
	p.loops.Go(p.readTooBig)
	p.loops.Go(func() { p.follow(ctx, changes) })
	return nil
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
	for _, b := range p.bindings {
		errs = append(errs, p.uninstall(bindingRules(b)))
	}
	for _, h := range p.homes {
		errs = append(errs, p.host.DeleteRoute(h.installed))
	}
	for _, d := range p.devices {
		errs = append(errs, p.deleteLink(d.link))
	}
	errs = append(errs, p.uninstall(hostRules(p.cfg.IgnoreHomeAddress)), p.detach(), p.closeGuards())
	p.mu.Unlock()
	if err := errors.Join(append(errs, p.release())...); err != nil {
		return fmt.Errorf("xfrm: closing: %w", err)
	}
	return nil
}

// release ends the loops and gives back what the process holds.
func (p *Plane) release() error {
	var errs []error
	if p.stop != nil {
		p.stop()
	}
	if p.beside != nil { // it tells events, which end with the reports
		errs = append(errs, p.beside.Close())
	}
	if p.reports != nil {
		errs = append(errs, p.reports.Close())
	}
	if p.icmp != nil {
		errs = append(errs, p.icmp.Close())
	}
	p.loops.Wait()
	if p.conn != nil {
		errs = append(errs, p.conn.Close())
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
		return fmt.Errorf("xfrm: %w", dataplane.ErrClosed)
	}
	return nil
}

// do speaks with the kernel, and keeps what a state has counted that goes.
func (p *Plane) do(steps ...step) ([]netlink.Message, error) {
	if len(steps) == 0 {
		return nil, nil
	}
	answers, err := p.conn.do(steps...)
	for i, m := range answers {
		if !steps[i].last || len(m.Data) == 0 {
			continue
		}
		info, parseErr := parseState(m)
		if parseErr != nil {
			err = errors.Join(err, parseErr)
			continue
		}
		if name := p.counterOf(info); name != "" {
			p.past[name] += info.packets
		}
	}
	return answers, err
}

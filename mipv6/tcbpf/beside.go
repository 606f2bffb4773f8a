package tcbpf

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/mipv6/internal/hostnet"
	"github.com/vanycast/vanycast/mipv6/internal/pathmtu"
)

// Beside is the part of this plane that the kernel's own Mobile IPv6 cannot do:
// routes by other replicas, single connections, what is kept and what is steered.
// Package xfrm has it beside its states and policies, and does all else: addresses,
// rules, tunnels, headers.
//
//	HOME ──► policy of its client or connection? ── yes ──► kernel: Home Address option
//	              │ no
//	              ▼ mouth of the ip6tnl to the home agent
//	         relayed, direct, held? ── yes ──► interface
//	              │ no
//	              ▼ kernel: tunnel to the home agent
//
//	interface ──► from a peer, or for a flow that is held, kept, relayed, steered?
//	              │ no: kernel                │ yes: as Plane does it
type Beside struct {
	plane    *Plane
	programs besidePrograms
	mouths   bool // the programs are there
}

// The filters' names and preferences: the kernel's own guards of contact addresses
// (package xfrm, preferences 145 and 146) come before our ingress, and our egress,
// which lets pass what we sent on, before them.
const (
	besidePrefix  = "vanycast-"
	besideIngress = 147
	besideEgress  = 144
	besideMouth   = 147
)

// NewBeside loads the programs; they stand at the host's interface, which has a
// clsact qdisc, while there is a contact address. What is steered is told in events,
// which stays the caller's to close, after Close; host and icmp are the caller's too.
func NewBeside(cfg Config, host *hostnet.Host, icmp *pathmtu.Sockets, events chan dataplane.Event) (*Beside, error) {
	cfg = cfg.withDefaults()
	cfg.beside, cfg.IgnoreHomeAddress = true, true
	b := &Beside{plane: &Plane{
		cfg:         cfg,
		logger:      cfg.Logger,
		host:        host,
		icmp:        icmp,
		events:      events,
		contacts:    map[netip.Addr]*contact{},
		flows:       map[dataplane.Flow]*flow{},
		connections: map[path]map[dataplane.Flow]*flow{},
		hops:        map[ends]hostnet.Hop{},
		narrow:      map[path]narrowPath{},
	}}
	if err := b.start(); err != nil {
		return nil, errors.Join(fmt.Errorf("tcbpf: beside the kernel, on interface %s: %w", cfg.Interface, err), b.Detach(), b.Close())
	}
	return b, nil
}

func (b *Beside) start() error {
	p := b.plane
	kept, err := p.prepare()
	if err != nil {
		return err
	}
	index := 0
	if kept != nil {
		index = kept.Attrs().Index
	}
	if err := loadMore(&b.programs, p.cfg, p.host.Link, bare, index, p.programs); err != nil {
		return err
	}
	b.mouths = true
	// To know that they can be there; a host without contact address spares them.
	if err := errors.Join(b.attach(), b.Detach()); err != nil {
		return err
	}
	if p.keeper != nil {
		if err := p.startKeeper(kept); err != nil {
			return err
		}
	}
	p.loops.Go(p.readEvents)
	return nil
}

// attach puts the programs at the interface.
func (b *Beside) attach() error {
	nl, link := b.plane.host.Netlink, b.plane.host.Link
	return errors.Join(
		attachOne(nl, link, netlink.HANDLE_MIN_EGRESS, besideEgress, besidePrefix+"leave", b.programs.VanycastLeave.FD()),
		attachOne(nl, link, netlink.HANDLE_MIN_INGRESS, besideIngress, besidePrefix+"ingress", b.plane.programs.VanycastIngress.FD()))
}

// AttachMouth puts the program at the mouth of a tunnel; it goes with the tunnel.
func (b *Beside) AttachMouth(link netlink.Link) error {
	return attachOne(b.plane.host.Netlink, link, netlink.HANDLE_MIN_EGRESS, besideMouth, besidePrefix+"mouth", b.programs.VanycastMouth.FD())
}

// IsBeside tells a filter of a Beside, also of a dead process's.
func IsBeside(f netlink.Filter) bool {
	bpf, ok := f.(*netlink.BpfFilter)
	return ok && strings.HasPrefix(bpf.Name, besidePrefix)
}

// Detach takes the programs off the interface: before its qdisc goes.
func (b *Beside) Detach() error {
	nl, link := b.plane.host.Netlink, b.plane.host.Link
	var errs []error
	for _, hook := range hooks {
		list, err := nl.FilterList(link, hook.parent)
		if err != nil {
			errs = append(errs, fmt.Errorf("listing filters of %s: %w", link.Attrs().Name, err))
		}
		for _, f := range list {
			if IsBeside(f) {
				errs = append(errs, nl.FilterDel(f))
			}
		}
	}
	return errors.Join(errs...)
}

// Close ends the loops and gives back what the process holds.
func (b *Beside) Close() error {
	p := b.plane
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	var errs []error
	if p.ring != nil {
		errs = append(errs, p.ring.Close())
	}
	if p.keeper != nil {
		errs = append(errs, p.keeper.Close())
	}
	p.loops.Wait()
	if b.mouths {
		errs = append(errs, b.programs.Close())
	}
	if p.programs != nil {
		errs = append(errs, p.programs.Close())
	}
	return errors.Join(errs...)
}

// Features says what this part adds.
func (b *Beside) Features() dataplane.Features { return b.plane.Features() }

// Tick is to be called every second.
func (b *Beside) Tick() {
	b.plane.tells.Store(maxTells)
	b.plane.keeper.tick()
	b.plane.forgetHops()
}

// LastUsed tells when a flow's packets last passed the programs.
func (b *Beside) LastUsed(f dataplane.Flow) (time.Time, error) { return b.plane.LastUsed(f) }

// Counters are this part's.
func (b *Beside) Counters() map[string]uint64 { return b.plane.Counters() }

// TooBig deals with a router's message about a packet that the programs sent;
// mine is false where they did not.
func (b *Beside) TooBig(router netip.Addr, mtu int, q pathmtu.Quote) (mine bool, err error) {
	p := b.plane
	if err := p.enter(); err != nil {
		return false, err
	}
	defer p.mu.Unlock()
	o, err := p.owner(&q)
	if err != nil {
		return false, nil
	}
	if o.sender == senderLocal {
		if state, ok := p.flowFor(outgoingFlowOf(q.Original)); !ok || state.Kind != dataplane.Relayed {
			return false, nil
		}
	}
	return true, p.learn(router, mtu, q)
}

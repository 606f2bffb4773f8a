// Package handofftest has fakes of what package handoff works with, in memory:
// replicas that can call each other, a client with a binding cache, and kernels
// with TCP endpoints. Faults are put in by hooks.
//
//	w := handofftest.NewWorld()
//	glass, reich := w.Host(a), w.Host(b)
//	agent := handoff.New(handoff.Deps{Self: a, Peers: glass, Anycast: glass.Anycast, TCP: glass, ...})
//	c := glass.Connect(contact, client)
//
// A World notices when two hosts have one connection live at once.
package handofftest

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"

	"github.com/vanycast/vanycast/handoff"
	"github.com/vanycast/vanycast/peer"
)

// Fate is what becomes of a call.
type Fate uint8

// The fates.
const (
	Deliver     Fate = iota
	Unreachable      // it never leaves: peer.ErrUnreachable
	LoseRequest      // it is sent and does not arrive: peer.ErrLost
	LoseAnswer       // the peer acts on it, its answer does not arrive: peer.ErrLost
)

// World is all hosts and clients.
type World struct {
	// Fate decides of each call; nil delivers all.
	Fate func(from, to netip.Addr, kind peer.Kind) Fate
	// Fault decides whether an operation of a host fails: freeze, extract, thaw,
	// insert, activate, mark, prepare, routability (only where nothing was
	// prepared), expect, open, through, divert, halt, undo, guard, start, start-unheard (the client is bound, the host
	// does not learn it), reclaim, bind. nil lets all succeed.
	Fault func(host netip.Addr, operation string) error

	// Relayed: connections move one by one, and an acceptor can be heard through its
	// donor before it is bound. Muted: what it sends does not arrive there.
	Relayed, Muted bool

	mu      sync.Mutex
	hosts   map[netip.Addr]*Host
	clients map[binding]*bound
	live    map[tuple]map[netip.Addr]bool // the hosts with a live socket
	seams   map[place]seam
	broken  []string
}

// place is a connection at a host.
type place struct {
	host netip.Addr
	conn tuple
}

type tuple struct{ local, remote netip.AddrPort }

type binding struct{ contact, client netip.Addr }

// bound is a client's binding cache entry.
type bound struct {
	careOf   netip.Addr
	sequence uint16
}

// NewWorld makes a world without hosts.
func NewWorld() *World {
	return &World{hosts: make(map[netip.Addr]*Host), clients: make(map[binding]*bound), live: make(map[tuple]map[netip.Addr]bool), seams: make(map[place]seam)}
}

// Host is a replica: a handoff.Caller and a handoff.TCP; Anycast gives its
// handoff.Binder.
type Host struct {
	w    *World
	addr netip.Addr

	mu       sync.Mutex
	handlers map[peer.Kind]peer.Handler
	sockets  map[int]*socket
	tuples   map[tuple]*socket
	buried   map[tuple]*grave
	held     map[binding]bool
	prepared map[binding]bool
	nextFD   int
	down     bool
}

// Host makes a replica with that care-of address, or returns the one there is.
func (w *World) Host(addr netip.Addr) *Host {
	w.mu.Lock()
	defer w.mu.Unlock()
	h := w.hosts[addr]
	if h == nil {
		h = &Host{
			w: w, addr: addr, handlers: make(map[peer.Kind]peer.Handler), sockets: make(map[int]*socket),
			tuples: make(map[tuple]*socket), buried: make(map[tuple]*grave), held: make(map[binding]bool),
			prepared: make(map[binding]bool), nextFD: 3,
		}
		w.hosts[addr] = h
	}
	return h
}

// Addr is the host's care-of address.
func (h *Host) Addr() netip.Addr { return h.addr }

// Broken is what went wrong that never must.
func (w *World) Broken() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.broken
}

// Owner is the host that has the connection live and can be heard, the zero Addr
// for none.
func (w *World) Owner(local, remote netip.AddrPort) netip.Addr {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := tuple{local, remote}
	for host := range w.live[t] {
		if w.audible(t, host) {
			return host
		}
	}
	return netip.Addr{}
}

// Live is how many hosts have the connection live, heard or not.
func (w *World) Live(local, remote netip.AddrPort) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.live[tuple{local, remote}])
}

// BoundTo is the care-of address that the client sends to.
func (w *World) BoundTo(contact, client netip.Addr) netip.Addr {
	w.mu.Lock()
	defer w.mu.Unlock()
	if b := w.clients[binding{contact, client}]; b != nil {
		return b.careOf
	}
	return netip.Addr{}
}

func (w *World) fault(host netip.Addr, operation string) error {
	if w.Fault == nil {
		return nil
	}
	return w.Fault(host, operation)
}

// setLive notes that a connection is live at a host. It sends something at once, as
// the kernel does.
func (w *World) setLive(t tuple, host netip.Addr) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.live[t] == nil {
		w.live[t] = make(map[netip.Addr]bool)
	}
	w.live[t][host] = true
	if through := (place{w.seams[place{host, t}].through, t}); through.host.IsValid() && w.audible(t, host) && !w.Muted {
		s := w.seams[through]
		s.heard = true
		w.seams[through] = s
	}
	w.check(t)
}

func (w *World) setDead(t tuple, host netip.Addr) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.live[t], host)
}

// audible tells whether what a host sends reaches the client, or could: not if it
// goes through a donor that does not send it on.
func (w *World) audible(t tuple, host netip.Addr) bool {
	through := w.seams[place{host, t}].through
	return !through.IsValid() || w.seams[place{through, t}].diverts == host
}

// check notes two owners.
func (w *World) check(t tuple) {
	var owners []string
	for host := range w.live[t] {
		if w.audible(t, host) {
			owners = append(owners, host.String())
		}
	}
	if len(owners) > 1 {
		w.broken = append(w.broken, fmt.Sprintf("%s to %s is live at %s", t.remote, t.local, strings.Join(owners, " and ")))
	}
}

// Handle is handoff.Caller's.
func (h *Host) Handle(k peer.Kind, f peer.Handler) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.handlers[k] = f
}

// Call is handoff.Caller's.
func (h *Host) Call(ctx context.Context, to netip.Addr, kind peer.Kind, req []byte) ([]byte, error) {
	fate := Deliver
	if h.w.Fate != nil {
		fate = h.w.Fate(h.addr, to, kind)
	}
	h.w.mu.Lock()
	peerHost := h.w.hosts[to]
	h.w.mu.Unlock()
	var f peer.Handler
	if peerHost != nil {
		peerHost.mu.Lock()
		f = peerHost.handlers[kind]
		if peerHost.down {
			fate = Unreachable
		}
		peerHost.mu.Unlock()
	}
	switch {
	case fate == Unreachable || peerHost == nil:
		return nil, fmt.Errorf("%w: %s", peer.ErrUnreachable, to)
	case fate == LoseRequest:
		return nil, fmt.Errorf("%w: %s", peer.ErrLost, to)
	case f == nil:
		return nil, &peer.RemoteError{Code: peer.CodeUnknownKind}
	}
	type answer struct {
		resp []byte
		err  error
	}
	done := make(chan answer, 1)
	go func() {
		resp, err := f(ctx, h.addr, append([]byte(nil), req...))
		done <- answer{resp, err}
	}()
	select {
	case a := <-done:
		switch {
		case fate == LoseAnswer:
			return nil, fmt.Errorf("%w: %s", peer.ErrLost, to)
		case a.err != nil:
			return nil, &peer.RemoteError{Code: peer.CodeInternal, Text: a.err.Error()}
		}
		return a.resp, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %s: %w", peer.ErrLost, to, context.Cause(ctx))
	}
}

// Kill ends all that the host is, as a power failure would. An agent made anew
// on the same host is a new process.
func (h *Host) Kill() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.down = true
	h.handlers = make(map[peer.Kind]peer.Handler)
	for t := range h.tuples {
		h.w.setDead(t, h.addr)
	}
	h.sockets, h.tuples, h.buried = make(map[int]*socket), make(map[tuple]*socket), make(map[tuple]*grave)
}

// Restart makes the host reachable again.
func (h *Host) Restart() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.down = false
}

var (
	_ handoff.Caller = (*Host)(nil)
	_ handoff.TCP    = (*Host)(nil)
)

var errDown = errors.New("host is down")

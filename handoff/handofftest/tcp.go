package handofftest

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/vanycast/vanycast/handoff"
)

// socket is a TCP endpoint of a fake kernel.
type socket struct {
	h      *Host
	t      tuple
	fd     int
	frozen bool
}

// grave is a buried socket.
type grave struct {
	*frozen
	until time.Time
}

// Connect makes a live connection of a client at this host, which the client is
// bound to.
func (h *Host) Connect(contact, client netip.AddrPort) *handoff.Client {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := tuple{contact, client}
	s := h.add(t)
	h.w.mu.Lock()
	h.w.clients[binding{contact.Addr(), client.Addr()}] = &bound{h.addr, 1}
	h.w.mu.Unlock()
	h.w.setLive(t, h.addr)
	return &handoff.Client{ID: uint64(client.Port()), Service: "echo", Local: contact, Remote: client, FD: s.fd, Since: time.Now()}
}

// Sockets is how many sockets the host has, buried ones included.
func (h *Host) Sockets() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.sockets)
}

func (h *Host) add(t tuple) *socket {
	s := &socket{h: h, t: t, fd: h.nextFD}
	h.nextFD++
	h.sockets[s.fd], h.tuples[t] = s, s
	return s
}

func (h *Host) remove(s *socket) {
	delete(h.sockets, s.fd)
	if h.tuples[s.t] == s {
		delete(h.tuples, s.t)
	}
	h.w.setDead(s.t, h.addr)
}

// Freeze is handoff.TCP's.
func (h *Host) Freeze(fd int, divert func() error) (handoff.Frozen, error) {
	if err := divert(); err != nil {
		return nil, err
	}
	if err := h.w.fault(h.addr, "freeze"); err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.sockets[fd]
	if s == nil || s.frozen {
		return nil, fmt.Errorf("no live socket has descriptor %d", fd)
	}
	s.frozen = true
	h.w.setDead(s.t, h.addr)
	return &frozen{s}, nil
}

type frozen struct{ s *socket }

// Extract gives the four-tuple: all that a fake endpoint is.
func (f *frozen) Extract() ([]byte, error) {
	if err := f.s.h.w.fault(f.s.h.addr, "extract"); err != nil {
		return nil, err
	}
	return []byte(f.s.t.local.String() + " " + f.s.t.remote.String()), nil
}

// Thaw makes the socket live again.
func (f *frozen) Thaw() error {
	h := f.s.h
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.sockets[f.s.fd] != f.s {
		return errDown
	}
	f.s.frozen = false
	h.w.setLive(f.s.t, h.addr)
	return h.w.fault(h.addr, "thaw")
}

// Forget closes the socket.
func (f *frozen) Forget() error {
	f.s.h.mu.Lock()
	defer f.s.h.mu.Unlock()
	f.s.h.remove(f.s)
	return nil
}

// Insert is handoff.TCP's.
func (h *Host) Insert(endpoint []byte) (handoff.Inserted, error) {
	if err := h.w.fault(h.addr, "insert"); err != nil {
		return nil, err
	}
	var local, remote string
	if _, err := fmt.Sscan(string(endpoint), &local, &remote); err != nil {
		return nil, err
	}
	t := tuple{netip.MustParseAddrPort(local), netip.MustParseAddrPort(remote)}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.down {
		return nil, errDown
	}
	if h.tuples[t] != nil {
		return nil, errors.New("connection exists on this host")
	}
	s := h.add(t)
	s.frozen = true
	return &inserted{s}, nil
}

type inserted struct{ s *socket }

// Activate makes the socket live.
func (i *inserted) Activate(open func() error) (int, error) {
	h := i.s.h
	if err := h.w.fault(h.addr, "activate"); err != nil {
		return -1, err
	}
	if err := open(); err != nil {
		return -1, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.sockets[i.s.fd] != i.s {
		return -1, errDown
	}
	i.s.frozen = false
	h.w.setLive(i.s.t, h.addr)
	return i.s.fd, nil
}

// Abort closes the socket.
func (i *inserted) Abort() error {
	i.s.h.mu.Lock()
	defer i.s.h.mu.Unlock()
	i.s.h.remove(i.s)
	return nil
}

// Bury is handoff.TCP's.
func (h *Host) Bury(f handoff.Frozen, until time.Time) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	dead := f.(*frozen)
	h.buried[dead.s.t] = &grave{dead, until}
	return nil
}

// Exhume is handoff.TCP's.
func (h *Host) Exhume(local, remote netip.AddrPort) (handoff.Frozen, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := tuple{local, remote}
	g := h.buried[t]
	delete(h.buried, t)
	if g == nil {
		return nil, false
	}
	return g.frozen, true
}

// Expire is handoff.TCP's.
func (h *Host) Expire(now time.Time) (next time.Time, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for t, g := range h.buried {
		if g.until.After(now) {
			if next.IsZero() || g.until.Before(next) {
				next = g.until
			}
			continue
		}
		delete(h.buried, t)
		h.remove(g.s)
	}
	return next, nil
}

// Guard is handoff.TCP's.
func (h *Host) Guard(fd int) (handoff.Guard, error) {
	if err := h.w.fault(h.addr, "guard"); err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return &guard{h, h.sockets[fd]}, nil
}

type guard struct {
	h *Host
	s *socket
}

// Sever closes the socket.
func (g *guard) Sever() error {
	g.h.mu.Lock()
	defer g.h.mu.Unlock()
	if g.s != nil && g.h.sockets[g.s.fd] == g.s {
		g.h.remove(g.s)
	}
	return nil
}

// Close does nothing.
func (g *guard) Close() error { return nil }

package framework

import (
	"context"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// Fallback takes a client whose packets with extension headers do not get through
// back from the short cut; anycast.Address is one.
type Fallback interface {
	// FallBack has a client served as one without Mobile IPv6 from now on, and for a
	// while: through the home agent and the contact node.
	FallBack(ctx context.Context, client netip.Addr) error
}

// fallbackTimeout bounds a fallback, the binding's removal included.
const fallbackTimeout = 10 * time.Second

// goesStraight: a connection's packets have begun to take the short cut. It is
// watched until it is clear whether they arrive.
func (c *core) goesStraight(cl *client) {
	if c.cfg.fallsBack && !cl.immobile && !cl.relayed && cl.phase != phaseClosing && c.progress[cl.key] == nil {
		c.progress[cl.key] = new(progress)
	}
}

// looked: what the kernel says of a watched connection.
func (c *core) looked(now time.Time, k key, v tcpView) {
	cl, p := c.clients[k], c.progress[k]
	if cl == nil || p == nil {
		return
	}
	switch p.look(now, v) {
	case pathOpen:
		delete(c.progress, k)
	case pathBlocked:
		for k, other := range c.clients { // they share its path
			if other.remote.Addr() == cl.remote.Addr() {
				other.mobile, other.immobile = false, true
				delete(c.progress, k)
			}
		}
		c.note(now, EventFellBack, cl, netip.Addr{}, nil)
		c.do(fallBack{cl.remote.Addr()})
	}
}

// due are the watched connections that are to be looked at.
func (c *core) due(now time.Time) (keys []key) {
	for k, p := range c.progress {
		switch cl := c.clients[k]; {
		case cl == nil || cl.phase == phaseClosing:
			delete(c.progress, k)
		case cl.phase == phaseMoving: // it is frozen; if it stays the watch begins anew
			*p = progress{}
		case !now.Before(p.next):
			keys = append(keys, k)
		}
	}
	return keys
}

// watchProgress looks at the connections that are watched, until the service ends.
func (s *Service) watchProgress() {
	ticker := time.NewTicker(lookSoon)
	defer ticker.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case now := <-ticker.C:
			if s.watching.Load() {
				s.event(func() { s.look(now) })
			}
		}
	}
}

// look is the event.
func (s *Service) look(now time.Time) {
	for _, k := range s.core.due(now) {
		c := s.conns[k]
		if c == nil || c.client.FD < 0 {
			continue
		}
		if v, ok := viewOf(c.client.FD); ok {
			s.core.looked(now, k, v)
		}
	}
}

// viewOf asks the kernel; false if it says nothing, or the connection has ended, or
// nothing that fits together: an acknowledgement that comes between two questions
// would make what is outstanding less than it was, and the next one of old data look
// like one of new.
func viewOf(fd int) (tcpView, bool) {
	const tries = 3
	for range tries {
		queued := outQueue(fd)
		i, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil || i.State == unix.BPF_TCP_CLOSE {
			return tcpView{}, false
		}
		if outQueue(fd) == queued {
			return tcpView{
				acked: i.Bytes_acked, outstanding: uint64(max(0, queued-int(i.Notsent_bytes))),
				received: i.Bytes_received, segments: i.Data_segs_in, timeouts: i.Retransmits,
			}, true
		}
	}
	return tcpView{}, false
}

// fallBack carries the action out.
func (s *Service) fallBack(client netip.Addr) {
	s.spawn(func() {
		ctx, cancel := context.WithTimeout(s.ctx, fallbackTimeout)
		defer cancel()
		s.log.Warn("packets with extension headers do not get through (RFC 9098): client is served as one without Mobile IPv6", "client", client)
		if err := s.deps.Fallback.FallBack(ctx, client); err != nil {
			s.log.Warn("fallback not complete", "client", client, "err", err)
		}
	})
}

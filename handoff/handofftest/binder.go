package handofftest

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"github.com/vanycast/vanycast/handoff"
)

// Anycast is what handoff.Deps.Anycast wants: every contact address is served.
func (h *Host) Anycast(contact, client netip.AddrPort) (handoff.Binder, bool) {
	return &binder{h, contact.Addr(), tuple{contact, client}}, true
}

// Held tells whether the host drops the client's packets.
func (h *Host) Held(contact, client netip.Addr) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.held[binding{contact, client}]
}

type binder struct {
	h       *Host
	contact netip.Addr
	conn    tuple
}

// update is a Binding Update that reaches the client (RFC 6275 §9.5.1): it is
// accepted if its number is greater than the last. It tells to whom the client
// is bound then.
func (b *binder) update(client netip.Addr, sequence uint16) (careOf netip.Addr) {
	w := b.h.w
	w.mu.Lock()
	defer w.mu.Unlock()
	k := binding{b.contact, client}
	c := w.clients[k]
	if c == nil {
		c = new(bound)
		w.clients[k] = c
	}
	if int16(sequence-c.sequence) > 0 {
		c.careOf, c.sequence = b.h.addr, sequence
	}
	return c.careOf
}

// Alone: a binding moves all.
func (b *binder) Alone() bool { return b.h.w.Relayed }

// Begin and End: nothing else moves a client.
func (b *binder) Begin(context.Context) error { return b.h.w.fault(b.h.addr, "begin") }

// End is described at Begin.
func (b *binder) End() {}

// Immobile: all clients have Mobile IPv6.
func (b *binder) Immobile() bool { return false }

// Mark gives the client's last sequence number.
func (b *binder) Mark(client netip.Addr) ([]byte, error) {
	if err := b.h.w.fault(b.h.addr, "mark"); err != nil {
		return nil, err
	}
	return b.Preview(client)
}

// Preview is Mark without its effect.
func (b *binder) Preview(client netip.Addr) ([]byte, error) {
	b.h.w.mu.Lock()
	defer b.h.w.mu.Unlock()
	var last uint16
	if c := b.h.w.clients[binding{b.contact, client}]; c != nil {
		last = c.sequence
	}
	return binary.BigEndian.AppendUint16(nil, last), nil
}

// Prepare notes that the host has done return routability: Start needs no more.
func (b *binder) Prepare(ctx context.Context, client netip.Addr, _ []byte) error {
	if err := b.h.w.fault(b.h.addr, "prepare"); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	b.h.mu.Lock()
	defer b.h.mu.Unlock()
	b.h.prepared[binding{b.contact, client}] = true
	return nil
}

// Ready: always.
func (b *binder) Ready(netip.Addr) time.Time { return time.Time{} }

func (b *binder) Start(ctx context.Context, client, _ netip.Addr, mark []byte) error {
	b.h.mu.Lock()
	prepared := b.h.prepared[binding{b.contact, client}]
	delete(b.h.prepared, binding{b.contact, client})
	b.h.mu.Unlock()
	if !prepared {
		if err := b.h.w.fault(b.h.addr, "routability"); err != nil {
			return err
		}
	}
	if err := b.h.w.fault(b.h.addr, "start"); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", handoff.ErrUntouched, err)
	}
	if owner := b.update(client, binary.BigEndian.Uint16(mark)+1); owner != b.h.addr {
		return fmt.Errorf("%w: sequence number out of window: client is bound to %s", handoff.ErrTaken, owner)
	}
	return b.h.w.fault(b.h.addr, "start-unheard")
}

func (b *binder) Finish(netip.Addr) {}

func (b *binder) Reclaim(_ context.Context, client netip.Addr, mark []byte) error {
	if err := b.h.w.fault(b.h.addr, "reclaim"); err != nil {
		return err
	}
	if owner := b.update(client, binary.BigEndian.Uint16(mark)+1); owner != b.h.addr {
		return fmt.Errorf("%w: %s", handoff.ErrTaken, owner)
	}
	return nil
}

func (b *binder) Bind(_ context.Context, client netip.Addr) error {
	if err := b.h.w.fault(b.h.addr, "bind"); err != nil {
		return err
	}
	b.h.w.mu.Lock()
	var next uint16 = 1
	if c := b.h.w.clients[binding{b.contact, client}]; c != nil {
		next = c.sequence + 1
	}
	b.h.w.mu.Unlock()
	b.update(client, next)
	return nil
}

func (b *binder) Expect(donor netip.Addr, _ bool) error {
	return b.seam("expect", func(s *seam) { *s = seam{expects: donor} })
}

func (b *binder) Open(netip.Addr) error {
	return b.seam("open", func(s *seam) { s.expects, s.through = netip.Addr{}, netip.Addr{} })
}

// CanSpeak: where the world is so.
func (b *binder) CanSpeak([]byte) bool { return b.h.w.Relayed }

func (b *binder) Through(donor netip.Addr) error {
	return b.seam("through", func(s *seam) { *s = seam{through: donor} })
}

func (b *binder) Divert(acceptor netip.Addr) error {
	return b.seam("divert", func(s *seam) { *s = seam{diverts: acceptor} })
}

func (b *binder) Halt() (heard bool, err error) {
	err = b.seam("halt", func(s *seam) {
		if heard = s.heard; !heard {
			s.diverts = netip.Addr{}
		}
	})
	return heard, err
}

func (b *binder) Left() {}

func (b *binder) Undo() error { return b.seam("undo", func(s *seam) { *s = seam{} }) }

func (b *binder) seam(op string, change func(*seam)) error {
	if err := b.h.w.fault(b.h.addr, op); err != nil {
		return err
	}
	w := b.h.w
	w.mu.Lock()
	defer w.mu.Unlock()
	here := place{b.h.addr, b.conn}
	s := w.seams[here]
	change(&s)
	w.seams[here] = s
	w.check(b.conn)
	return nil
}

// seam is what a host does with the packets of a connection that moves.
type seam struct {
	expects netip.Addr // keeps those of this donor
	through netip.Addr // speaks through this donor
	diverts netip.Addr // sends them to this acceptor
	heard   bool       // and has sent some of its on
}

// Expects is the donor whose packets of the connection the host keeps; Diverts the
// acceptor to which it sends them. The zero Addr is nobody.
func (h *Host) Expects(contact, client netip.AddrPort) netip.Addr {
	return h.seam(contact, client).expects
}

// Diverts is described at Expects.
func (h *Host) Diverts(contact, client netip.AddrPort) netip.Addr {
	return h.seam(contact, client).diverts
}

func (h *Host) seam(contact, client netip.AddrPort) seam {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	return h.w.seams[place{h.addr, tuple{contact, client}}]
}

func (b *binder) Hold(client netip.Addr) error {
	b.h.mu.Lock()
	defer b.h.mu.Unlock()
	b.h.held[binding{b.contact, client}] = true
	return nil
}

func (b *binder) Unhold(client netip.Addr) error {
	b.h.mu.Lock()
	defer b.h.mu.Unlock()
	delete(b.h.held, binding{b.contact, client})
	return nil
}

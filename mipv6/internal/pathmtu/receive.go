package pathmtu

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
)

var (
	// ErrNotOurs: the message quotes no packet that was rewritten.
	ErrNotOurs = errors.New("quotes no packet of ours")
	// ErrBadMTU: a path MTU that cannot be.
	ErrBadMTU = errors.New("impossible path MTU")

	errTooShort = errors.New("too short")
)

// Receive hears Packet Too Big messages until the sockets are closed, and hands
// on those that quote a packet of a data plane's form.
func (s *Sockets) Receive(handle func(router netip.Addr, mtu int, q Quote)) error {
	buffer := make([]byte, 65536)
	for {
		n, from, err := s.receive.ReadFrom(buffer)
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("receiving ICMPv6: %w", err)
		}
		router, ok := netip.AddrFromSlice(from.(*net.IPAddr).IP)
		if !ok {
			continue
		}
		// A message about packets that are not rewritten is the kernel's alone.
		if mtu, q, err := Parse(buffer[:n]); err == nil {
			handle(router, mtu, q)
		}
	}
}

// Parse reads an ICMPv6 message: ErrNotOurs where what it quotes has not
// the form of a rewritten packet.
func Parse(b []byte) (mtu int, q Quote, err error) {
	if len(b) < tooBigHeaderLength || b[0] != typePacketTooBig {
		return 0, Quote{}, errTooShort
	}
	q, ok := parse(b[tooBigHeaderLength:])
	if !ok {
		return 0, Quote{}, ErrNotOurs
	}
	return int(binary.BigEndian.Uint32(b[4:])), q, nil
}

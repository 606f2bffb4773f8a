package mhtest

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/mhsock"
)

const protocolESP = 50

// ESP is a host's socket for ESP packets, as mhsock.ESP is.
type ESP struct {
	host    *Host
	packets *queue[mhsock.Received]
}

// ESP opens the host's socket for ESP packets; before, they are lost.
func (h *Host) ESP() *ESP {
	n := h.network
	n.mu.Lock()
	defer n.mu.Unlock()
	h.esp = &ESP{h, newQueue[mhsock.Received]()}
	return h.esp
}

// Receive is mhsock.ESP's.
func (s *ESP) Receive(ctx context.Context) (mhsock.Received, error) { return s.packets.get(ctx) }

// Forward sends a whole packet on.
func (s *ESP) Forward(packet []byte, dst netip.Addr) error {
	p, err := mipv6.ParsePacket(packet)
	if err != nil {
		return fmt.Errorf("mhtest: forward what cannot be received: %w", err)
	}
	if p.Dst != dst {
		return fmt.Errorf("mhtest: forward a packet for %v to %v", p.Dst, dst)
	}
	return s.host.Send(p)
}

// Close ends Receive.
func (s *ESP) Close() error {
	s.packets.close()
	return nil
}

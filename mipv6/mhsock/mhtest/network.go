package mhtest

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/mhsock"
)

// Network joins hosts. A packet goes to the host that has its destination
// address: its base header's, or with a type 2 routing header the care-of
// address there. Every packet passes through the codec, bytes and all.
type Network struct {
	mu     sync.Mutex
	hosts  map[netip.Addr]*Host
	filter func(*mipv6.Packet) bool
	log    []mipv6.Packet
}

// NewNetwork makes a network without hosts that loses nothing.
func NewNetwork() *Network { return &Network{hosts: map[netip.Addr]*Host{}} }

// Filter has f decide about every packet from now on: false loses it. f must
// not call back into the network; nil loses nothing.
func (n *Network) Filter(f func(*mipv6.Packet) bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.filter = f
}

// Sent are all packets that were sent so far, lost ones included.
func (n *Network) Sent() []mipv6.Packet {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.log)
}

// Host makes a host with these addresses. An address that another host has
// moves to this one.
func (n *Network) Host(addrs ...netip.Addr) *Host {
	h := &Host{network: n, mobility: newQueue[mhsock.Received](), errors: newQueue[mhsock.ICMPError]()}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, a := range addrs {
		n.hosts[a] = h
	}
	return h
}

// Attach gives a host one more address, taking it from whoever has it.
func (n *Network) Attach(h *Host, a netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hosts[a] = h
}

// Host is a mhsock.Conn.
type Host struct {
	network  *Network
	mobility *queue[mhsock.Received]
	errors   *queue[mhsock.ICMPError]
	esp      *ESP // nil until asked for
}

var _ mhsock.Conn = (*Host)(nil)

// Send implements mhsock.Conn. A packet to an address that no host has is lost
// in silence; one to a host whose queue is full, too.
func (h *Host) Send(p *mipv6.Packet) error {
	b, err := p.MarshalBinary()
	if err != nil {
		return err
	}
	arrived, err := mipv6.ParsePacket(b)
	if err != nil {
		return fmt.Errorf("mhtest: send what cannot be received: %w", err)
	}
	if h.mobility.isClosed() {
		return net.ErrClosed
	}
	n := h.network
	n.mu.Lock()
	defer n.mu.Unlock()
	n.log = append(n.log, *arrived)
	if n.filter != nil && !n.filter(arrived) {
		return nil
	}
	if to := n.hosts[arrived.Dst]; to != nil {
		to.Deliver(arrived)
	}
	return nil
}

// Deliver puts a packet into the host's queue as if it had arrived, if it has
// a Mobility Header with a right checksum, which is all that a kernel looks at;
// an ESP packet goes to the socket for these.
func (h *Host) Deliver(p *mipv6.Packet) {
	src, dst := p.ChecksumAddresses()
	if p.NextHeader == protocolESP && h.esp != nil {
		h.esp.packets.put(received(p, src, dst))
		return
	}
	if p.NextHeader != mipv6.ProtocolMobility || !mipv6.VerifyChecksum(p.Payload, src, dst) {
		return
	}
	h.mobility.put(received(p, src, dst))
}

func received(p *mipv6.Packet, src, dst netip.Addr) mhsock.Received {
	r := mhsock.Received{Src: src, Dst: dst, Interface: 1, Message: slices.Clone(p.Payload)}
	if p.HomeAddress.IsValid() {
		r.CareOf = p.Src
	}
	return r
}

// DeliverError puts an ICMPv6 error into the host's queue.
func (h *Host) DeliverError(e mhsock.ICMPError) { h.errors.put(e) }

// Receive implements mhsock.Conn.
func (h *Host) Receive(ctx context.Context) (mhsock.Received, error) { return h.mobility.get(ctx) }

// ReceiveError implements mhsock.Conn.
func (h *Host) ReceiveError(ctx context.Context) (mhsock.ICMPError, error) { return h.errors.get(ctx) }

// Close implements mhsock.Conn. The host keeps its addresses: what is sent to
// it is lost.
func (h *Host) Close() error {
	h.mobility.close()
	h.errors.close()
	return nil
}

package mhsock

import (
	"fmt"
	"net"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"github.com/vanycast/vanycast/mipv6"
)

// DefaultHopLimit stands in the packets that do not say theirs.
const DefaultHopLimit = 64

// Send implements Conn. The route is looked up for the packet's source and
// destination as they stand in the IPv6 header.
func (s *Socket) Send(p *mipv6.Packet) error {
	if p.HopLimit == 0 {
		with := *p
		with.HopLimit = DefaultHopLimit
		p = &with
	}
	b, err := p.MarshalBinary()
	if err != nil {
		return err
	}
	if err := s.write(b, p.Src, p.Dst); err != nil {
		return fmt.Errorf("mhsock: send %d octets from %v to %v: %w", len(b), p.Src, p.Dst, err)
	}
	return nil
}

// write sends a packet whose header is complete.
func (s *Socket) write(b []byte, src, dst netip.Addr) error {
	control := unix.PktInfo6(&unix.Inet6Pktinfo{Addr: src.As16()})
	to := &unix.SockaddrInet6{Addr: dst.As16()}
	if zone := dst.Zone(); zone != "" {
		i, err := net.InterfaceByName(zone)
		if err != nil {
			return err
		}
		to.ZoneId = uint32(i.Index)
	}
	var err error
	// Write's function says it is done at the first try: no waiting.
	if cerr := s.raw.conn.Write(func(fd uintptr) bool {
		err = unix.Sendmsg(int(fd), b, control, to, 0)
		return true
	}); cerr != nil {
		if s.raw.closed.Load() {
			return net.ErrClosed
		}
		return cerr
	}
	return os.NewSyscallError("sendmsg", err)
}

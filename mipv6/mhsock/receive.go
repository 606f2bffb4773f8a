package mhsock

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/internal/rawsock"
)

// optionRetyped is the Option Type that our data plane gives to a Home Address
// option after it has swapped its address with the packet's source: one that
// any kernel skips. The kernel's own Mobile IPv6 leaves it 0xC9.
const optionRetyped = 0x1e

var errCut = errors.New("mhsock: longer than any Mobility Header")

// Receive implements Conn. A packet whose ancillary data are not what the
// kernel promises is logged and dropped.
func (s *Socket) Receive(ctx context.Context) (Received, error) {
	var got Received
	err := s.mobility.Each(ctx, func(d rawsock.Datagram) bool {
		r, err := received(d)
		if err != nil {
			s.log.Debug("mobility header dropped", "from", d.From, "err", err)
			return false
		}
		got = r
		return true
	})
	if err != nil {
		return Received{}, fmt.Errorf("mhsock: %w", err)
	}
	return got, nil
}

func received(d rawsock.Datagram) (Received, error) {
	r := Received{Src: d.From}
	if !d.Whole {
		return r, errCut
	}
	messages, err := unix.ParseSocketControlMessage(d.Control)
	if err != nil {
		return r, fmt.Errorf("mhsock: control messages: %w", err)
	}
	for _, m := range messages {
		if m.Header.Level != unix.IPPROTO_IPV6 {
			continue
		}
		switch m.Header.Type {
		case unix.IPV6_PKTINFO:
			r.Dst, r.Interface, err = packetInfo(m.Data)
		case unix.IPV6_DSTOPTS:
			err = r.destinationOptions(m.Data)
		}
		if err != nil {
			return r, err
		}
	}
	if !r.Dst.IsValid() {
		return r, fmt.Errorf("mhsock: no IPV6_PKTINFO")
	}
	r.Message = bytes.Clone(d.Data)
	return r, nil
}

// destinationOptions looks for the Home Address option, which by now has the
// care-of address (see optionRetyped).
func (r *Received) destinationOptions(header []byte) error {
	for _, t := range []uint8{optionRetyped, mipv6.OptionHomeAddress} {
		data, ok := mipv6.FindDestinationOption(header, t)
		if !ok {
			continue
		}
		if len(data) != 16 {
			return fmt.Errorf("mhsock: option %#x of %d octets", t, len(data))
		}
		if r.CareOf.IsValid() {
			return fmt.Errorf("mhsock: second Home Address option")
		}
		r.CareOf = netip.AddrFrom16([16]byte(data))
	}
	return nil
}

// packetInfo decodes a struct in6_pktinfo, whose index is in host byte order.
func packetInfo(b []byte) (netip.Addr, int, error) {
	if len(b) < unix.SizeofInet6Pktinfo {
		return netip.Addr{}, 0, fmt.Errorf("mhsock: IPV6_PKTINFO of %d octets", len(b))
	}
	var info unix.Inet6Pktinfo
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&info)), unix.SizeofInet6Pktinfo), b)
	return netip.AddrFrom16(info.Addr), int(info.Ifindex), nil
}

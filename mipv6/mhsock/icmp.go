package mhsock

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/internal/rawsock"
)

// An ICMPv6 error message (RFC 4443 §3): type, code, checksum, a pointer or
// MTU, then the beginning of the packet that it is about.
const (
	icmpPointer = 4
	icmpQuoted  = 8

	protocolIPv6 = 41
)

var errNotOurs = errors.New("mhsock: not about a packet of Mobile IPv6")

// ReceiveError implements Conn.
func (s *Socket) ReceiveError(ctx context.Context) (ICMPError, error) {
	var got ICMPError
	err := s.icmp.Each(ctx, func(d rawsock.Datagram) bool {
		e, err := parseICMP(d.Data)
		if err != nil {
			return false // every error that this host receives comes by here
		}
		e.From = d.From
		got = e
		return true
	})
	if err != nil {
		return ICMPError{}, fmt.Errorf("mhsock: %w", err)
	}
	return got, nil
}

// parseICMP decodes an ICMPv6 error about a packet with a Mobility Header, a
// Home Address option or a type 2 routing header, also if it quotes that packet
// inside our tunnel to the home agent.
func parseICMP(b []byte) (ICMPError, error) {
	if len(b) < icmpQuoted {
		return ICMPError{}, errNotOurs
	}
	p, err := mipv6.ParseQuoted(b[icmpQuoted:])
	if err == nil && p.NextHeader == protocolIPv6 {
		p, err = mipv6.ParseQuoted(p.Payload)
	}
	if err != nil {
		return ICMPError{}, err
	}
	e := ICMPError{
		Type: b[0], Code: b[1], Pointer: binary.BigEndian.Uint32(b[icmpPointer:]),
		Src: p.Src, Dst: p.Dst, Home: p.HomeAddress, RoutedHome: p.RoutingHome, Payload: bytes.Clone(p.Payload),
	}
	if p.NextHeader == mipv6.ProtocolMobility {
		e.MHType, e.Mobility = mipv6.PeekType(p.Payload)
	}
	if !e.Mobility && !e.Home.IsValid() && !e.RoutedHome.IsValid() {
		return ICMPError{}, errNotOurs
	}
	return e, nil
}

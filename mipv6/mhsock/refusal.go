package mhsock

import (
	"encoding/binary"
	"errors"
	"net/netip"

	"github.com/vanycast/vanycast/mipv6"
)

const protocolICMPv6 = 58

// Refusal is what RFC 6275 §9.2 answers to a Mobility Header that
// [mipv6.Parse] did not accept: a Binding Error for an unknown MH Type, an
// ICMPv6 parameter problem for a wrong Payload Proto or Header Len, and for
// anything else nothing (nil). A Binding Error is never answered, nor is a
// packet to or from an address that is not unicast. The caller limits the rate (§9.3.3, RFC 4443
// §2.4(f)).
func Refusal(r Received, err error) *mipv6.Packet {
	var bad *mipv6.ParseError
	if !errors.As(err, &bad) || !mipv6.IsUnicastRoutable(r.Dst) || !mipv6.IsUnicastRoutable(r.Source()) ||
		bad.Type == mipv6.TypeBindingError {
		return nil
	}
	p := &mipv6.Packet{Src: r.Dst, Dst: r.Source()}
	switch {
	case bad.Kind == mipv6.KindUnknownType:
		m := &mipv6.BindingError{Status: mipv6.UnrecognizedMHType, Home: netip.IPv6Unspecified()}
		if r.CareOf.IsValid() {
			m.Home = r.Src
		}
		if p.Carry(m, nil) != nil {
			return nil
		}
	case bad.ParameterProblem():
		quoted, qerr := quote(r)
		if qerr != nil {
			return nil
		}
		pointer := len(quoted) - len(r.Message) + bad.Offset
		p.NextHeader = protocolICMPv6
		p.Payload = parameterProblem(p.Src, p.Dst, uint32(pointer), quoted)
	default:
		return nil
	}
	return p
}

// quote is the packet that r was, as far as it is known here: its hop limit is
// not, nor are other extension headers.
func quote(r Received) ([]byte, error) {
	p := mipv6.Packet{Src: r.Source(), Dst: r.Dst, HopLimit: DefaultHopLimit, NextHeader: mipv6.ProtocolMobility, Payload: r.Message}
	if r.CareOf.IsValid() {
		p.HomeAddress = r.Src
	}
	return p.MarshalBinary()
}

// parameterProblem is an ICMPv6 parameter problem, code 0: erroneous header
// field (RFC 4443 §3.4). It is kept within the minimum MTU.
func parameterProblem(src, dst netip.Addr, pointer uint32, quoted []byte) []byte {
	const most = 1280 - 40 - icmpQuoted
	b := make([]byte, icmpQuoted, icmpQuoted+len(quoted))
	b[0] = TypeParameterProblem
	binary.BigEndian.PutUint32(b[icmpPointer:], pointer)
	b = append(b, quoted[:min(len(quoted), most)]...)
	binary.BigEndian.PutUint16(b[2:], mipv6.Checksum(b, protocolICMPv6, src, dst))
	return b
}

package mhsock

import (
	"context"
	"net/netip"

	"github.com/vanycast/vanycast/mipv6"
)

// Conn sends and receives Mobility Headers. All methods are safe for
// concurrent use.
type Conn interface {
	// Send sends one packet, usually made by mipv6.Packet.Carry. It never
	// waits: what the host cannot take now is lost, as on any link.
	Send(p *mipv6.Packet) error
	// Receive waits for the next Mobility Header. It returns ctx's error when
	// ctx ends, and net.ErrClosed after Close.
	Receive(ctx context.Context) (Received, error)
	// ReceiveError waits for the next ICMPv6 error about a packet of ours that
	// had a Mobility Header, a Home Address option or a type 2 routing header.
	// Errors as Receive.
	ReceiveError(ctx context.Context) (ICMPError, error)
	// Close ends every Receive and ReceiveError.
	Close() error
}

// Each hands everything that receive returns, a Conn's Receive or ReceiveError,
// to a role's HandleMH or HandleICMP, one at a time. It ends with the error of
// receive.
func Each[T any](ctx context.Context, receive func(context.Context) (T, error), handle func(T) bool) error {
	for {
		v, err := receive(ctx)
		if err != nil {
			return err
		}
		handle(v)
	}
}

// Received is a Mobility Header that arrived. Its checksum is right for Src
// and Dst; nothing else has been looked at.
type Received struct {
	Src       netip.Addr // the home address, if there was a Home Address option
	Dst       netip.Addr // our address; the home address, if there was a type 2 routing header
	CareOf    netip.Addr // the packet's true source, if there was a Home Address option; else invalid
	Interface int        // index of where it came in
	Message   []byte     // the Mobility Header, for mipv6.Parse; the receiver's to keep
}

// Source is the address in the IPv6 header on the wire: the care-of address
// of a mobile node that used a Home Address option, else Src.
func (r Received) Source() netip.Addr {
	if r.CareOf.IsValid() {
		return r.CareOf
	}
	return r.Src
}

// ICMPError is an ICMPv6 error message (RFC 4443 §3) that quotes a packet of
// ours. Anyone can forge one: a role believes it only if the quoted packet is
// one that it did send.
type ICMPError struct {
	From       netip.Addr // who reports it: the destination itself or a router
	Type, Code uint8
	Pointer    uint32     // MTU of packet too big, pointer of a parameter problem
	Src, Dst   netip.Addr // of the quoted packet
	Home       netip.Addr // of its Home Address option, else invalid
	RoutedHome netip.Addr // of its type 2 routing header, else invalid
	MHType     mipv6.Type // of its Mobility Header, if Mobility
	Mobility   bool       // whether it had one
	Payload    []byte     // its payload (the Mobility Header) as far as quoted
}

// ICMPv6 types and codes that tell of a peer without Mobile IPv6 (RFC 4443 §3).
const (
	TypeDestinationUnreachable = 1
	TypePacketTooBig           = 2
	TypeTimeExceeded           = 3
	TypeParameterProblem       = 4

	CodeUnrecognizedNextHeader = 1 // of a parameter problem: no Mobility Header
	CodeUnrecognizedOption     = 2 // of a parameter problem: no Home Address option
)

// NoMobileIPv6 tells whether the error says that the quoted packet's
// destination does not know Mobile IPv6 (RFC 6275 §11.3.5): a parameter
// problem from the destination itself about the Mobility Header or the Home
// Address option.
func (e ICMPError) NoMobileIPv6() bool {
	return e.Type == TypeParameterProblem && e.From == e.Dst &&
		(e.Code == CodeUnrecognizedNextHeader && e.Mobility || e.Code == CodeUnrecognizedOption && e.Home.IsValid())
}

// Reply is an empty packet that goes back to where the message came from: to
// its true source, with a type 2 routing header if the message had a Home
// Address option (RFC 6275 §9.5.4, §10.3.1). A mobile node that is at home
// again, whose care-of address is its home address, is written to without.
func (r Received) Reply() *mipv6.Packet {
	p := &mipv6.Packet{Src: r.Dst, Dst: r.Source()}
	if r.CareOf.IsValid() && r.CareOf != r.Src {
		p.RoutingHome = r.Src
	}
	return p
}

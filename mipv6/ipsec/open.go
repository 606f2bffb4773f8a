package ipsec

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/esp"
	"github.com/vanycast/vanycast/mipv6/mhsock"
)

var (
	// ErrUnknownSPI: an ESP packet that is for no association of this host.
	ErrUnknownSPI = errors.New("ipsec: no association has this SPI")
	// ErrSelector: an ESP packet that holds what its association is not for, or
	// comes from elsewhere (RFC 4301 §5.2).
	ErrSelector = errors.New("ipsec: not what the association is for")
)

// Opened is what was in an ESP packet: one of the two.
type Opened struct {
	// Received is a Mobility Header for a role of this host, as if it had come in
	// clear. Its checksum was verified.
	Received mhsock.Received
	// Forward is a whole IPv6 packet of a mobile node that this home agent sends
	// on to Dst, with the hop limit that it leaves with; nil if there is none.
	Forward []byte
	Dst     netip.Addr
}

// Open opens an ESP packet that arrived: r.Message begins with the SPI. Errors
// are those of package esp, ErrUnknownSPI and ErrSelector; a packet that fails
// says nothing and is not answered.
func (e *Endpoint) Open(now time.Time, r mhsock.Received) (Opened, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	o, err := e.open(now, r)
	e.counters[outcome(err)]++
	return o, err
}

func outcome(err error) string {
	switch {
	case err == nil:
		return CounterOpened
	case errors.Is(err, ErrUnknownSPI):
		return CounterUnknown
	case errors.Is(err, esp.ErrReplay):
		return CounterReplay
	case errors.Is(err, esp.ErrAuthentication):
		return CounterAuthentication
	case errors.Is(err, ErrSelector):
		return CounterSelector
	}
	return CounterMalformed
}

func (e *Endpoint) open(now time.Time, r mhsock.Received) (Opened, error) {
	h, err := esp.ParseHeader(r.Message)
	if err != nil {
		return Opened{}, err
	}
	in, ok := e.incoming[h.SPI]
	if !ok {
		return Opened{}, fmt.Errorf("%w: %#x from %v", ErrUnknownSPI, h.SPI, r.Source())
	}
	next, payload, err := in.ring.open(in.live, in.purpose, r.Message)
	if err != nil {
		return Opened{}, fmt.Errorf("ipsec: %v: %w", in.ring.pair, err)
	}
	var o Opened
	switch pair := in.ring.pair; in.purpose {
	case Update:
		o.Received, err = pair.update(r, next, payload)
	case Acknowledgement:
		o.Received, err = pair.acknowledgement(r, next, payload)
	case TestInit:
		if e.registered[pair.Home] != pair.CareOf {
			// RFC 6275 §10.4.5: only from the registered care-of address.
			err = fmt.Errorf("%w: %v is not registered there", ErrSelector, pair)
			break
		}
		o.Forward, o.Dst, err = pair.testInit(r, next, payload)
	case Test:
		o.Received, err = pair.test(r, next, payload)
	}
	if err != nil {
		return Opened{}, fmt.Errorf("%v: %w", in.purpose, err)
	}
	e.heard(now, in.ring, in.live)
	return o, nil
}

// heard notes that the other end uses a generation.
func (e *Endpoint) heard(now time.Time, r *ring, l *live) {
	if r.accepted(now, l) {
		e.log.Info("peer uses keys", "contact", r.pair.Home, "care_of", r.pair.CareOf, "generation", l.Number)
	}
}

func mismatch(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrSelector}, args...)...)
}

// message checks a Mobility Header that came in ESP: nobody has looked at its
// checksum.
func message(r mhsock.Received, next uint8, payload []byte, want ...mipv6.Type) (mhsock.Received, error) {
	if next != mipv6.ProtocolMobility {
		return r, mismatch("protocol %d", next)
	}
	if !mipv6.VerifyChecksum(payload, r.Src, r.Dst) {
		return r, mismatch("checksum of the Mobility Header")
	}
	r.Message = payload
	t, ok := mipv6.PeekType(payload)
	for _, w := range want {
		if ok && t == w {
			return r, nil
		}
	}
	if len(want) == 0 {
		return r, nil
	}
	return r, mismatch("%v", t)
}

// update is a Binding Update at the home agent. What ESP in transport mode does
// not cover, the addresses in front of it, says nothing: the pair says whose
// home address it is, and a care-of address that is to be registered is the one
// in the Alternate Care-of Address option (RFC 6275 §11.7.1), which must be the
// pair's replica.
func (p Pair) update(r mhsock.Received, next uint8, payload []byte) (mhsock.Received, error) {
	if r.Src != p.Home || r.Dst != p.HomeAgent || r.CareOf != p.CareOf {
		return r, mismatch("from %v at %v to %v", r.Src, r.CareOf, r.Dst)
	}
	r, err := message(r, next, payload, mipv6.TypeBindingUpdate)
	if err != nil {
		return r, err
	}
	m, err := mipv6.Parse(payload)
	if err != nil {
		return r, err
	}
	u, ok := m.(*mipv6.BindingUpdate)
	if !ok || !u.HomeRegistration {
		return r, mismatch("not a home registration")
	}
	alt, ok := mipv6.FindOption[*mipv6.AlternateCareOf](u)
	if ok && alt.Addr != p.CareOf || !ok && u.Lifetime > 0 {
		return r, mismatch("no Alternate Care-of Address option with the replica's address")
	}
	return r, nil
}

// acknowledgement is a Binding Acknowledgement at the replica.
func (p Pair) acknowledgement(r mhsock.Received, next uint8, payload []byte) (mhsock.Received, error) {
	if r.Src != p.HomeAgent || r.Dst != p.Home || r.CareOf.IsValid() {
		return r, mismatch("from %v to %v", r.Source(), r.Dst)
	}
	return message(r, next, payload, mipv6.TypeBindingAcknowledgement)
}

// inner is the packet in a tunnel between these two addresses.
func inner(r mhsock.Received, next uint8, payload []byte, src, dst netip.Addr) (*mipv6.Packet, error) {
	if r.Src != src || r.Dst != dst || r.CareOf.IsValid() {
		return nil, mismatch("tunnel from %v to %v", r.Source(), r.Dst)
	}
	if next != protocolIPv6 {
		return nil, mismatch("protocol %d in a tunnel", next)
	}
	in, err := mipv6.ParsePacket(payload)
	if err != nil {
		return nil, err
	}
	if in.NextHeader != mipv6.ProtocolMobility {
		return nil, mismatch("protocol %d through the tunnel for Mobility Headers", in.NextHeader)
	}
	if in.HomeAddress.IsValid() || in.RoutingHome.IsValid() {
		return nil, mismatch("a Home Address option or a type 2 routing header in the tunnel")
	}
	return in, nil
}

// testInit is a Mobility Header to a client at the home agent, to be sent on.
func (p Pair) testInit(r mhsock.Received, next uint8, payload []byte) ([]byte, netip.Addr, error) {
	in, err := inner(r, next, payload, p.CareOf, p.HomeAgent)
	if err != nil {
		return nil, netip.Addr{}, err
	}
	if in.Src != p.Home || !mipv6.IsUnicastRoutable(in.Dst) {
		return nil, netip.Addr{}, mismatch("from %v to %v", in.Src, in.Dst)
	}
	if in.HopLimit <= 1 { // RFC 2473 §3.3: the tunnel is one hop
		return nil, netip.Addr{}, mismatch("hop limit %d", in.HopLimit)
	}
	const lengthAt, hopLimitAt, headerLen = 4, 7, 40
	// What follows the packet is padding against traffic analysis (RFC 4303 §2.7).
	whole := payload[:headerLen+int(payload[lengthAt])<<8+int(payload[lengthAt+1])]
	whole[hopLimitAt]--
	return whole, in.Dst, nil
}

// test is a Mobility Header of a client at the replica.
func (p Pair) test(r mhsock.Received, next uint8, payload []byte) (mhsock.Received, error) {
	in, err := inner(r, next, payload, p.HomeAgent, p.CareOf)
	if err != nil {
		return r, err
	}
	if in.Dst != p.Home {
		return r, mismatch("to %v", in.Dst)
	}
	return message(mhsock.Received{Src: in.Src, Dst: in.Dst, Interface: r.Interface}, in.NextHeader, in.Payload)
}

// Admit applies the policy to a Mobility Header that came in clear: ErrClear if
// it had to be protected. The log has it once per source and minute.
func (e *Endpoint) Admit(now time.Time, r mhsock.Received) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.mustBeProtected(r) || e.enforced(r) {
		return nil
	}
	e.counters[CounterClearIn]++
	if e.told.tell(now, r.Source()) {
		t, _ := mipv6.PeekType(r.Message)
		e.log.Warn("dropped: not protected, and must be", "message", t, "from", r.Source(), "home", r.Src, "to", r.Dst)
	}
	return fmt.Errorf("%w: from %v to %v", ErrClear, r.Source(), r.Dst)
}

// mustBeProtected: at a home agent, home registrations; at a replica, what the
// home agent says and home tests. What a client says straight, with a type 2
// routing header, comes to the same address and is authenticated otherwise; a
// Binding Refresh Request does no harm.
func (e *Endpoint) mustBeProtected(r mhsock.Received) bool {
	t, _ := mipv6.PeekType(r.Message)
	if t == mipv6.TypeBindingUpdate && registration(r.Message) {
		return r.Dst == e.homeAgent || e.protected[r.Src]
	}
	for _, c := range e.contacts {
		if r.Dst == c.Home && (t == mipv6.TypeHomeTest || r.Src == c.HomeAgent) {
			return true
		}
	}
	return false
}

// registration tells whether a Binding Update has the H bit (RFC 6275 §6.1.7).
func registration(b []byte) bool {
	const flags, home = 8, 1 << 6
	return len(b) > flags && b[flags]&home != 0
}

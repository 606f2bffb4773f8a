package xfrm

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/mdlayher/netlink"
	"github.com/mdlayher/netlink/nlenc"
	"golang.org/x/sys/unix"
)

// stateID is what a state of mode ro is known by: it has no SPI.
type stateID struct {
	src, dst netip.Addr
	protocol protocol
}

func (i stateID) String() string {
	return fmt.Sprintf("state src %v dst %v proto %v", i.src, i.dst, i.protocol)
}

// state is a route optimisation state, the transformation of
// `ip xfrm state add src … dst … proto hao|route2 reqid 145 mode ro coa …`.
type state struct {
	stateID
	careOf netip.Addr
	// wild states take packets of any source.
	wild bool
}

var errShort = errors.New("xfrm: message of the kernel is too short")

// message asks the kernel to add or (msgUpdateState) change the state.
func (s state) message(kind netlink.HeaderType) netlink.Message {
	b := make([]byte, sizeState)
	put16(b[56:], s.dst)
	b[76] = uint8(s.protocol)
	put16(b[80:], s.src)
	// An empty selector, but of the family: any packet.
	nlenc.PutUint16(b[40:42], unix.AF_INET6)
	putLifetime(b[96:160])
	nlenc.PutUint32(b[208:212], ours)
	nlenc.PutUint16(b[212:214], unix.AF_INET6)
	b[214] = modeRouteOptimisation
	if s.wild {
		b[216] = flagWildReceive
	}
	careOf := s.careOf.As16()
	return request(kind, b, netlink.Attribute{Type: attrCareOf, Data: careOf[:]})
}

// message asks the kernel to delete or to tell of the state.
func (i stateID) message(kind netlink.HeaderType) netlink.Message {
	b := make([]byte, sizeStateID)
	put16(b, i.dst)
	nlenc.PutUint16(b[20:22], unix.AF_INET6)
	b[22] = uint8(i.protocol)
	source := i.src.As16()
	return request(kind, b, netlink.Attribute{Type: attrSource, Data: source[:]})
}

// stateInfo is what the kernel tells of a state.
type stateInfo struct {
	state
	reqid uint32
	mode  uint8
	lifetime
	lastUsed uint64 // seconds since 1970 of the last packet out; 0 for never
}

func parseState(m netlink.Message) (stateInfo, error) {
	b := m.Data
	if len(b) < sizeState {
		return stateInfo{}, fmt.Errorf("%w: state of %d bytes", errShort, len(b))
	}
	info := stateInfo{
		state:    state{stateID: stateID{src: get16(b[80:]), dst: get16(b[56:]), protocol: protocol(b[76])}, wild: b[216]&flagWildReceive != 0},
		reqid:    nlenc.Uint32(b[208:212]),
		mode:     b[214],
		lifetime: parseLifetime(b[160:192]),
	}
	attributes, err := netlink.NewAttributeDecoder(b[sizeState:])
	if err != nil {
		return info, fmt.Errorf("xfrm: state: %w", err)
	}
	for attributes.Next() {
		switch data := attributes.Bytes(); attributes.Type() {
		case attrCareOf:
			if len(data) != 16 {
				return info, fmt.Errorf("%w: care-of address of %d bytes", errShort, len(data))
			}
			info.careOf = get16(data)
		case attrLastUsed:
			if len(data) != 8 {
				return info, fmt.Errorf("%w: stamp of %d bytes", errShort, len(data))
			}
			info.lastUsed = nlenc.Uint64(data)
		}
	}
	return info, attributes.Err()
}

// ours tells whether the state is one that a plane made.
func (i stateInfo) ours() bool { return i.reqid == ours && i.mode == modeRouteOptimisation }

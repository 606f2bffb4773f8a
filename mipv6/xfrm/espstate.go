package xfrm

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/mdlayher/netlink"
	"github.com/mdlayher/netlink/nlenc"
	"golang.org/x/sys/unix"

	"github.com/vanycast/vanycast/mipv6/esp"
)

// espID is what an association is known by (RFC 4301 §4.1).
type espID struct {
	dst netip.Addr
	spi uint32
}

func (i espID) String() string { return fmt.Sprintf("state dst %v proto esp spi %#x", i.dst, i.spi) }

// message asks the kernel to delete or to tell of the association.
func (i espID) message(kind netlink.HeaderType) netlink.Message {
	b := make([]byte, sizeStateID)
	put16(b, i.dst)
	binary.BigEndian.PutUint32(b[16:], i.spi)
	nlenc.PutUint16(b[20:22], unix.AF_INET6)
	b[22] = unix.IPPROTO_ESP
	return request(kind, b)
}

// espState is an association, the transformation of `ip xfrm state add src … dst …
// proto esp spi … reqid … mode transport|tunnel …`.
type espState struct {
	espID
	src       netip.Addr
	reqid     uint32
	tunnel    bool
	sends     bool
	selector  selector // of what comes by it; zero: anything
	mark      uint32   // that what comes by it gets; 0: none
	algorithm esp.Algorithm
	key       []byte
	sequence  uint32 // the last that was used, or received
}

// same compares all but the numbers.
func (s espState) same(o espState) bool {
	return s.src == o.src && s.reqid == o.reqid && s.tunnel == o.tunnel && s.sends == o.sends && s.selector == o.selector && s.mark == o.mark &&
		s.algorithm == o.algorithm && bytes.Equal(s.key, o.key)
}

// replayWindow is the kernel's largest without extended sequence numbers.
const replayWindow = 32

// message asks the kernel to add it.
func (s espState) message() netlink.Message {
	b := make([]byte, sizeState)
	if s.selector.src.IsValid() {
		s.selector.marshal(b)
	}
	nlenc.PutUint16(b[40:42], unix.AF_INET6)
	put16(b[56:], s.dst)
	binary.BigEndian.PutUint32(b[72:], s.spi)
	b[76] = unix.IPPROTO_ESP
	put16(b[80:], s.src)
	putLifetime(b[96:160])
	nlenc.PutUint32(b[208:212], s.reqid)
	nlenc.PutUint16(b[212:214], unix.AF_INET6)
	if s.tunnel {
		b[214] = modeTunnel
	}
	b[215] = replayWindow
	attributes := append(s.algorithms(), s.replay())
	if s.mark != 0 {
		attributes = append(attributes, netlink.Attribute{Type: attrSetMark, Data: nlenc.Uint32Bytes(s.mark)})
	}
	return request(msgNewState, b, attributes...)
}

// algorithms are what the kernel calls ours. The key is one for both halves.
func (s espState) algorithms() []netlink.Attribute {
	const icvBits = 128
	if s.algorithm == esp.AESGCM {
		return []netlink.Attribute{{Type: attrAEAD, Data: algorithm("rfc4106(gcm(aes))", icvBits, s.key)}}
	}
	cut := len(s.key) - 32 // RFC 4868 §2.1.1
	return []netlink.Attribute{
		{Type: attrEncryption, Data: algorithm("cbc(aes)", 0, s.key[:cut])},
		{Type: attrAuthentication, Data: algorithm("hmac(sha256)", icvBits, s.key[cut:])},
	}
}

// algorithm writes a struct xfrm_algo or, with a length of the check value,
// xfrm_algo_auth or xfrm_algo_aead.
func algorithm(name string, icvBits uint32, key []byte) []byte {
	b := make([]byte, 68, 72+len(key))
	copy(b, name)
	nlenc.PutUint32(b[64:68], uint32(8*len(key)))
	if icvBits > 0 {
		b = append(b, nlenc.Uint32Bytes(icvBits)...)
	}
	return append(b, key...)
}

// replay has the numbers go on: struct xfrm_replay_state. Of what was received
// before, nothing is received once more.
func (s espState) replay() netlink.Attribute {
	b := make([]byte, sizeReplay)
	if s.sends {
		nlenc.PutUint32(b[0:4], s.sequence)
	} else {
		nlenc.PutUint32(b[4:8], s.sequence)
		nlenc.PutUint32(b[8:12], ^uint32(0))
	}
	return netlink.Attribute{Type: attrReplay, Data: b}
}

// espInfo is what the kernel tells of an association.
type espInfo struct {
	espID
	esp            bool
	reqid          uint32
	packets        uint64
	sent, received uint32
}

// ours tells whether it is one that an ESP made.
func (i espInfo) ours() bool { return i.esp && i.reqid >= espFirst && i.reqid < espLast }

func parseESP(m netlink.Message) (espInfo, error) {
	b := m.Data
	if len(b) < sizeState {
		return espInfo{}, fmt.Errorf("%w: state of %d bytes", errShort, len(b))
	}
	info := espInfo{
		espID:   espID{dst: get16(b[56:]), spi: binary.BigEndian.Uint32(b[72:])},
		esp:     b[76] == unix.IPPROTO_ESP,
		reqid:   nlenc.Uint32(b[208:212]),
		packets: parseLifetime(b[160:192]).packets,
	}
	attributes, err := netlink.NewAttributeDecoder(b[sizeState:])
	if err != nil {
		return info, fmt.Errorf("xfrm: state: %w", err)
	}
	for attributes.Next() {
		if data := attributes.Bytes(); attributes.Type() == attrReplay {
			if len(data) < sizeReplay {
				return info, fmt.Errorf("%w: sequence numbers of %d bytes", errShort, len(data))
			}
			info.sent, info.received = nlenc.Uint32(data[0:4]), nlenc.Uint32(data[4:8])
		}
	}
	return info, attributes.Err()
}

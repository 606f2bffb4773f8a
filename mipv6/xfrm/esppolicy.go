package xfrm

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/mdlayher/netlink"
	"github.com/mdlayher/netlink/nlenc"
	"golang.org/x/sys/unix"
)

// espPolicyID is what a policy of type main is known by.
type espPolicyID struct {
	direction
	selector
	mark uint32 // of the packets; 0: any
}

func (i espPolicyID) String() string {
	return fmt.Sprintf("%v mark %#x", policyID{i.direction, i.selector}, i.mark)
}

// espPolicy wants packets to go, or to have come, by an association; or, what
// came, with a type 2 routing header.
type espPolicy struct {
	espPolicyID
	reqid    uint32
	spi      uint32 // outgoing: which one; 0: any with the reqid
	tunnel   bool
	src, dst netip.Addr // of the tunnel
	route2   bool       // instead of an association, for what no other policy is for
}

func (p espPolicy) same(o espPolicy) bool { return p == o }

// message has the kernel put the policy in the place of the one for the same
// packets, if there is one.
func (p espPolicy) message() netlink.Message {
	b := make([]byte, sizePolicy)
	p.selector.marshal(b)
	putLifetime(b[56:120])
	nlenc.PutUint32(b[152:156], espPriority)
	if p.route2 {
		nlenc.PutUint32(b[152:156], espPriority+1)
	}
	b[160], b[161] = uint8(p.direction), uint8(allow)
	t := make([]byte, sizeTemplate)
	binary.BigEndian.PutUint32(t[16:], p.spi)
	t[20] = unix.IPPROTO_ESP
	nlenc.PutUint16(t[24:26], unix.AF_INET6)
	nlenc.PutUint32(t[44:48], p.reqid)
	if p.route2 {
		t[20], t[48] = uint8(route2), modeRouteOptimisation
	}
	if p.tunnel {
		put16(t[0:], p.dst)
		put16(t[28:], p.src)
		t[48] = modeTunnel
	}
	for i := 52; i < sizeTemplate; i++ {
		t[i] = 0xff // any algorithm: the association's
	}
	return request(msgUpdatePolicy, b, append([]netlink.Attribute{{Type: attrTemplate, Data: t}}, p.attributes()...)...)
}

// message asks the kernel to delete or to tell of the policy.
func (i espPolicyID) message(kind netlink.HeaderType) netlink.Message {
	b := make([]byte, sizePolicyID)
	i.selector.marshal(b)
	b[60] = uint8(i.direction)
	return request(kind, b, i.attributes()...)
}

// attributes are the mark: a policy is of type main if nothing else is said.
func (i espPolicyID) attributes() []netlink.Attribute {
	if i.mark == 0 {
		return nil
	}
	data := append(nlenc.Uint32Bytes(i.mark), nlenc.Uint32Bytes(^uint32(0))...)
	return []netlink.Attribute{{Type: attrMark, Data: data}}
}

// parseESPPolicy also tells whether the policy is one that an ESP made.
func parseESPPolicy(m netlink.Message) (id espPolicyID, ours bool, err error) {
	info, err := parsePolicy(m)
	if err != nil {
		return espPolicyID{}, false, err
	}
	id = espPolicyID{direction: info.direction, selector: info.selector}
	attributes, err := netlink.NewAttributeDecoder(m.Data[sizePolicy:])
	if err != nil {
		return id, false, fmt.Errorf("xfrm: policy: %w", err)
	}
	for attributes.Next() {
		if data := attributes.Bytes(); attributes.Type() == attrMark {
			if len(data) < 8 {
				return id, false, fmt.Errorf("%w: mark of %d bytes", errShort, len(data))
			}
			id.mark = nlenc.Uint32(data[:4])
		}
	}
	return id, !info.sub && info.direction <= forward && (info.priority == espPriority || info.priority == espPriority+1), attributes.Err()
}

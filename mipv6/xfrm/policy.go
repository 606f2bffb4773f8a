package xfrm

import (
	"fmt"
	"net/netip"

	"github.com/mdlayher/netlink"
	"github.com/mdlayher/netlink/nlenc"
	"golang.org/x/sys/unix"
)

// policyID is what a policy of type sub is known by.
type policyID struct {
	direction
	selector
}

func (i policyID) String() string {
	s := fmt.Sprintf("policy %v src %v dst %v", i.direction, i.src, i.dst)
	if i.protocol != 0 {
		s += fmt.Sprintf(" proto %d", i.protocol)
	}
	return s
}

// policy says what must happen, or have happened, to packets. Policies are of
// type sub: those of IPsec, of type main, apply to the same packets as well.
type policy struct {
	policyID
	action    action
	priority  uint32
	templates []template
}

// template names a state; unspecified addresses are any. It is of level use:
// where there is no such state, or a packet came without, nothing happens.
type template struct {
	src, dst netip.Addr
	protocol protocol
}

func (t template) marshal(b []byte) {
	put16(b[0:], t.dst)
	b[20] = uint8(t.protocol)
	nlenc.PutUint16(b[24:26], unix.AF_INET6)
	put16(b[28:], t.src)
	nlenc.PutUint32(b[44:48], ours)
	b[48] = modeRouteOptimisation
	b[50] = 1 // optional
	for i := 52; i < sizeTemplate; i++ {
		b[i] = 0xff // any algorithm
	}
}

// message asks the kernel to add the policy, or (msgUpdatePolicy) to put it in
// the place of one for the same packets.
func (p policy) message(kind netlink.HeaderType) netlink.Message {
	b := make([]byte, sizePolicy)
	p.selector.marshal(b)
	putLifetime(b[56:120])
	nlenc.PutUint32(b[152:156], p.priority)
	b[160], b[161] = uint8(p.direction), uint8(p.action)
	var attributes []netlink.Attribute
	if len(p.templates) > 0 {
		t := make([]byte, sizeTemplate*len(p.templates))
		for i := range p.templates {
			p.templates[i].marshal(t[i*sizeTemplate:])
		}
		attributes = append(attributes, netlink.Attribute{Type: attrTemplate, Data: t})
	}
	return request(kind, b, append(attributes, policyType())...)
}

// message asks the kernel to delete or to tell of the policy.
func (i policyID) message(kind netlink.HeaderType) netlink.Message {
	b := make([]byte, sizePolicyID)
	i.selector.marshal(b)
	b[60] = uint8(i.direction)
	return request(kind, b, policyType())
}

func policyType() netlink.Attribute {
	data := make([]byte, sizePolicyType)
	data[0] = typeSub
	return netlink.Attribute{Type: attrPolicyType, Data: data}
}

// policyInfo is what the kernel tells of a policy.
type policyInfo struct {
	policyID
	priority uint32
	sub      bool
	lifetime
}

func parsePolicy(m netlink.Message) (policyInfo, error) {
	b := m.Data
	if len(b) < sizePolicy {
		return policyInfo{}, fmt.Errorf("%w: policy of %d bytes", errShort, len(b))
	}
	info := policyInfo{
		policyID: policyID{direction: direction(b[160]), selector: parseSelector(b)},
		priority: nlenc.Uint32(b[152:156]),
		lifetime: parseLifetime(b[120:152]),
	}
	attributes, err := netlink.NewAttributeDecoder(b[sizePolicy:])
	if err != nil {
		return info, fmt.Errorf("xfrm: policy: %w", err)
	}
	for attributes.Next() {
		if data := attributes.Bytes(); attributes.Type() == attrPolicyType && len(data) > 0 {
			info.sub = data[0] == typeSub
		}
	}
	return info, attributes.Err()
}

// ours tells whether the policy is one that a plane made.
func (i policyInfo) ours() bool {
	return i.sub && i.direction <= out && i.priority >= firstPriority && i.priority < lastPriority
}

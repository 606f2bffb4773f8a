package handoff

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// offer is the message that asks whether a client would be taken. In network
// byte order:
//
//	version 8 | mode 8 | reserved 16 | client id 64 | length of the state 32
//	contact address 128, port 16 | client address 128, port 16
//	service: length 16, bytes
//	mark:    length 16, bytes
//
// The mark is as it would be now, for ModePrepared; basic offers have none.
type offer struct {
	Offer
	mode Mode // what the donor would like
	mark []byte
}

func (o *offer) check() error {
	switch {
	case o.Service == "" || len(o.Service) > MaxService:
		return fmt.Errorf("%w: offer: service name of %d bytes", ErrMalformed, len(o.Service))
	case o.StateBytes < 0 || o.StateBytes > MaxState:
		return fmt.Errorf("%w: offer: state of %d bytes", ErrMalformed, o.StateBytes)
	case len(o.mark) > MaxMark:
		return fmt.Errorf("%w: offer: mark of %d bytes", ErrMalformed, len(o.mark))
	case !o.mode.valid():
		return fmt.Errorf("%w: offer: %s", ErrMalformed, o.mode)
	case !isIPv6(o.Contact) || !isIPv6(o.Client):
		return fmt.Errorf("%w: offer: connection %s to %s is not one of IPv6", ErrMalformed, o.Client, o.Contact)
	}
	return nil
}

// marshal encodes the offer, which was checked.
func (o *offer) marshal() []byte {
	b := append(make([]byte, 0, 64+len(o.Service)+len(o.mark)), messageVersion, byte(o.mode), 0, 0)
	b = binary.BigEndian.AppendUint64(b, o.ID)
	b = binary.BigEndian.AppendUint32(b, uint32(o.StateBytes))
	b = appendAddrPort(appendAddrPort(b, o.Contact), o.Client)
	b = append(binary.BigEndian.AppendUint16(b, uint16(len(o.Service))), o.Service...)
	return append(binary.BigEndian.AppendUint16(b, uint16(len(o.mark))), o.mark...)
}

// parseOffer decodes an offer of a donor. Its mark is a part of b.
func parseOffer(b []byte, from netip.Addr) (*offer, error) {
	d := decoder{b: b}
	o := &offer{mode: d.header()}
	o.From, o.ID, o.StateBytes = from, d.u64(), int(d.u32())
	o.Contact, o.Client = d.addrPort(), d.addrPort()
	o.Service = string(d.bytes(int(d.u16())))
	o.mark = d.bytes(int(d.u16()))
	if err := d.end("offer"); err != nil {
		return nil, err
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	return o, nil
}

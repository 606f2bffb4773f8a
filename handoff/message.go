package handoff

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// ErrMalformed: a message of a peer that is not what it should be.
var ErrMalformed = errors.New("handoff: malformed message")

// errVersion: a message of a version that this replica does not know.
var errVersion = errors.New("handoff: unknown message version")

// messageVersion is the first byte of every message. A change that an older
// replica would misread gets another.
const messageVersion = 2

// attemptID names one attempt to hand a client off: chosen at random by the
// donor, used once.
type attemptID [16]byte

// request is the message that carries a client. In network byte order:
//
//	version 8 | mode 8 | reserved 16 | attempt 128 | instance 64 | client id 64 | budget, ms 32
//	contact address 128, port 16 | client address 128, port 16
//	service: length 16, bytes
//	mark:    length 16, bytes
//	state:   length 32, bytes
//	endpoint: length 32, bytes
//
// Mark and endpoint are the packages' anycast and tcpcp own.
type request struct {
	mode     Mode // what donor and acceptor agreed on at the offer
	attempt  attemptID
	instance uint64        // the acceptor's process that was offered the client: no other takes it
	budget   time.Duration // for the acceptor to bind the client
	id       uint64
	service  string
	contact  netip.AddrPort
	client   netip.AddrPort
	mark     []byte
	state    []byte
	endpoint []byte
}

func (r *request) offer(from netip.Addr) Offer {
	return Offer{ID: r.id, Service: r.service, Contact: r.contact, Client: r.client, From: from, StateBytes: len(r.state)}
}

// check is what both sides hold the request to.
func (r *request) check() error {
	switch {
	case !r.mode.valid():
		return fmt.Errorf("%w: %s", ErrMalformed, r.mode)
	case r.service == "" || len(r.service) > MaxService:
		return fmt.Errorf("%w: service name of %d bytes", ErrMalformed, len(r.service))
	case len(r.mark) > MaxMark:
		return fmt.Errorf("%w: mark of %d bytes", ErrMalformed, len(r.mark))
	case len(r.state) > MaxState:
		return fmt.Errorf("%w: state of %d bytes", ErrMalformed, len(r.state))
	case len(r.endpoint) > MaxEndpoint:
		return fmt.Errorf("%w: endpoint of %d bytes", ErrMalformed, len(r.endpoint))
	case !isIPv6(r.contact) || !isIPv6(r.client):
		return fmt.Errorf("%w: connection %s to %s is not one of IPv6", ErrMalformed, r.client, r.contact)
	}
	return nil
}

func isIPv6(a netip.AddrPort) bool {
	return a.Addr().Is6() && !a.Addr().Is4In6() && a.Addr().Zone() == "" && a.Port() != 0
}

// marshal encodes the request, which was checked.
func (r *request) marshal() []byte {
	b := make([]byte, 0, 96+len(r.service)+len(r.mark)+len(r.state)+len(r.endpoint))
	b = append(b, messageVersion, byte(r.mode), 0, 0)
	b = append(b, r.attempt[:]...)
	b = binary.BigEndian.AppendUint64(b, r.instance)
	b = binary.BigEndian.AppendUint64(b, r.id)
	b = binary.BigEndian.AppendUint32(b, uint32(r.budget/time.Millisecond))
	b = appendAddrPort(appendAddrPort(b, r.contact), r.client)
	b = append(binary.BigEndian.AppendUint16(b, uint16(len(r.service))), r.service...)
	b = append(binary.BigEndian.AppendUint16(b, uint16(len(r.mark))), r.mark...)
	b = append(binary.BigEndian.AppendUint32(b, uint32(len(r.state))), r.state...)
	return append(binary.BigEndian.AppendUint32(b, uint32(len(r.endpoint))), r.endpoint...)
}

// parseRequest decodes a request. Its byte slices are parts of b.
func parseRequest(b []byte) (*request, error) {
	d := decoder{b: b}
	r := &request{mode: d.header()}
	copy(r.attempt[:], d.bytes(len(r.attempt)))
	r.instance, r.id = d.u64(), d.u64()
	r.budget = time.Duration(d.u32()) * time.Millisecond
	r.contact, r.client = d.addrPort(), d.addrPort()
	r.service = string(d.bytes(int(d.u16())))
	r.mark = d.bytes(int(d.u16()))
	r.state = d.bytes(int(d.u32()))
	r.endpoint = d.bytes(int(d.u32()))
	if err := d.end("request"); err != nil {
		return nil, err
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	return r, nil
}

// marshalQuestion encodes the question what became of an attempt:
//
//	version 8 | flags 8 (1: stop it) | reserved 16 | attempt 128
func marshalQuestion(a attemptID, abort bool) []byte {
	b := []byte{messageVersion, 0, 0, 0}
	if abort {
		b[1] = 1
	}
	return append(b, a[:]...)
}

func parseQuestion(b []byte) (a attemptID, abort bool, err error) {
	if len(b) != 4+len(a) || b[1] > 1 || b[2] != 0 || b[3] != 0 {
		return a, false, fmt.Errorf("%w: question of %d bytes", ErrMalformed, len(b))
	}
	if b[0] != messageVersion {
		return a, false, fmt.Errorf("%w: %d", errVersion, b[0])
	}
	return attemptID(b[4:]), b[1] == 1, nil
}

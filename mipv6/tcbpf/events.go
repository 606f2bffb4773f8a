package tcbpf

import (
	"encoding/binary"
	"errors"
	"net/netip"

	"github.com/cilium/ebpf/ringbuf"

	"github.com/vanycast/vanycast/mipv6/dataplane"
)

// Events implements dataplane.Plane. The channel is closed by Close.
func (p *Plane) Events() <-chan dataplane.Event { return p.events }

// readEvents passes on what the programs report until the ring is closed.
func (p *Plane) readEvents() {
	for {
		record, err := p.ring.Read()
		if errors.Is(err, ringbuf.ErrClosed) {
			return
		}
		if err != nil {
			p.logger.Error("reading events of the data plane", "err", err)
			return
		}
		if original, mtu, careOf, ok := parseTooLong(record.RawSample); ok {
			p.tellTooLong(original, mtu, careOf)
			continue
		}
		e, ok := parseEvent(record.RawSample)
		if !ok {
			p.logger.Error("event of unknown form", "bytes", len(record.RawSample))
			continue
		}
		p.emit(e)
	}
}

// emit delivers an event, or counts it as lost where nobody has taken the
// earlier ones.
func (p *Plane) emit(e dataplane.Event) bool {
	select {
	case p.events <- e:
		return true
	default:
		p.own.eventsLost.Add(1)
		return false
	}
}

// parseTooLong reads struct too_big_event of bpf/maps.h: a packet that the
// program would not relay.
func parseTooLong(b []byte) (original []byte, mtu int, careOf netip.Addr, ok bool) {
	const packet, size, kind = 48, 48 + 4 + 4 + 16, 0x100
	if len(b) < size || binary.NativeEndian.Uint32(b[packet:]) != kind {
		return nil, 0, careOf, false
	}
	careOf = netip.AddrFrom16([16]byte(b[packet+8:]))
	return b[:packet], int(binary.NativeEndian.Uint32(b[packet+4:])), careOf, true
}

// parseEvent reads struct event of bpf/maps.h.
func parseEvent(b []byte) (dataplane.Event, bool) {
	const size = 3*16 + 4
	if len(b) < size {
		return dataplane.Event{}, false
	}
	at := func(i int) netip.Addr { return netip.AddrFrom16([16]byte(b[i:])) }
	e := dataplane.Event{
		Source: at(0),
		Dest:   at(16),
		Home:   at(32),
		Kind:   dataplane.EventKind(binary.NativeEndian.Uint32(b[48:])),
	}
	return e, e.Kind == dataplane.UnknownHomeAddress
}

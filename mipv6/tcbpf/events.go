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
	defer close(p.events)
	for {
		record, err := p.ring.Read()
		if errors.Is(err, ringbuf.ErrClosed) {
			return
		}
		if err != nil {
			p.logger.Error("reading events of the data plane", "err", err)
			return
		}
		e, ok := parseEvent(record.RawSample)
		if !ok {
			p.logger.Error("event of unknown form", "bytes", len(record.RawSample))
			continue
		}
		select {
		case p.events <- e:
		default:
			p.own.eventsLost.Add(1)
		}
	}
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

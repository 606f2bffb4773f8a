package tcbpf

import (
	"encoding/binary"
	"errors"

	"github.com/cilium/ebpf/ringbuf"

	"github.com/vanycast/vanycast/mipv6/dataplane"
)

var _ dataplane.Taker = (*Plane)(nil)

// Taken implements dataplane.Taker. The channel is closed by Close.
func (p *Plane) Taken() <-chan []byte { return p.taken }

// readTaken passes on the packets that the programs took out, until the ring is
// closed.
func (p *Plane) readTaken() {
	defer close(p.taken)
	for {
		record, err := p.takenRing.Read()
		if errors.Is(err, ringbuf.ErrClosed) {
			return
		}
		if err != nil {
			p.logger.Error("reading packets from the data plane", "err", err)
			return
		}
		packet, ok := parseTaken(record.RawSample)
		if !ok {
			p.logger.Error("packet of unknown form from the data plane", "bytes", len(record.RawSample))
			continue
		}
		select {
		case p.taken <- packet:
		default:
			p.own.eventsLost.Add(1)
		}
	}
}

// parseTaken reads struct taken of bpf/maps.h. The packet is a copy.
func parseTaken(b []byte) ([]byte, bool) {
	const head = 4
	if len(b) < head {
		return nil, false
	}
	n := binary.NativeEndian.Uint32(b)
	if n == 0 || uint64(n) > uint64(len(b)-head) {
		return nil, false
	}
	return append([]byte(nil), b[head:head+int(n)]...), true
}

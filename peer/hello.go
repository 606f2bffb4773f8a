package peer

import (
	"encoding/binary"
	"fmt"
	"time"
)

// The first frame of each side says who speaks and what it takes. The accepting
// side sends its own only after it has verified the other's certificate: in TLS
// 1.3 the connecting side's handshake ends before that, so this frame, not the
// end of the handshake, means that the peer is reached.
//
//	magic "VANYCAST" | version 16 | reserved 16 | max message 32 | max in flight 32 | heartbeat, ms 32
//
// More may follow in later versions and is ignored.
const (
	helloMagic   = "VANYCAST"
	helloVersion = 1
	helloLen     = 24
	maxHello     = 1024
)

// Bounds on what a peer may announce as its heartbeat; silence of
// deadHeartbeats of them means that it is dead.
const (
	minHeartbeat   = 50 * time.Millisecond
	maxHeartbeat   = time.Minute
	deadHeartbeats = 3
)

type hello struct {
	maxMessage  int // bytes, the longest request or response it takes
	maxInFlight int // requests that it works on at once, per connection
	heartbeat   time.Duration
}

func (h hello) marshal() []byte {
	b := append(make([]byte, 0, helloLen), helloMagic...)
	b = binary.BigEndian.AppendUint16(b, helloVersion)
	b = append(b, 0, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(h.maxMessage))
	b = binary.BigEndian.AppendUint32(b, uint32(h.maxInFlight))
	return binary.BigEndian.AppendUint32(b, uint32(h.heartbeat/time.Millisecond))
}

func parseHello(b []byte) (hello, error) {
	if len(b) < helloLen || len(b) > maxHello {
		return hello{}, &ProtocolError{fmt.Sprintf("hello of %d bytes", len(b))}
	}
	if string(b[:8]) != helloMagic {
		return hello{}, &ProtocolError{"not a vanycast peer"}
	}
	if v := binary.BigEndian.Uint16(b[8:]); v < helloVersion {
		return hello{}, &ProtocolError{fmt.Sprintf("peer speaks version %d, this node %d", v, helloVersion)}
	}
	message, inFlight := binary.BigEndian.Uint32(b[12:]), binary.BigEndian.Uint32(b[16:])
	heartbeat := time.Duration(binary.BigEndian.Uint32(b[20:])) * time.Millisecond
	if message == 0 || message > limitMessage || inFlight == 0 || inFlight > limitInFlight || heartbeat < minHeartbeat || heartbeat > maxHeartbeat {
		return hello{}, &ProtocolError{fmt.Sprintf("hello with limits out of range: message %d, in flight %d, heartbeat %v", message, inFlight, heartbeat)}
	}
	return hello{maxMessage: int(message), maxInFlight: int(inFlight), heartbeat: heartbeat}, nil
}

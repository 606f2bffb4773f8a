package wire

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
)

// ErrFrame: what came is not a frame of the protocol.
var ErrFrame = errors.New("wire: bad frame")

// prefixLength is the length of what stands before a message, in bytes.
const prefixLength = 8

// Frame is a message with what travels along.
type Frame struct {
	*Message
	State []byte // nil if there is none
	FD    int    // -1 if there is none
}

// appendFrame encodes a frame without its descriptor.
func appendFrame(b []byte, m *Message, state []byte) ([]byte, error) {
	text, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("wire: %s message: %w", m.Kind, err)
	}
	if len(text) > MaxMessage || len(state) > MaxState {
		return nil, fmt.Errorf("%w: %s message of %d bytes with a state of %d", ErrFrame, m.Kind, len(text), len(state))
	}
	b = binary.BigEndian.AppendUint32(b, uint32(len(text)))
	b = binary.BigEndian.AppendUint32(b, uint32(len(state)))
	b = append(b, text...)
	return append(b, state...), nil
}

// parsePrefix gives the lengths of message and state.
func parsePrefix(b []byte) (message, state int, err error) {
	if len(b) != prefixLength {
		return 0, 0, fmt.Errorf("%w: prefix of %d bytes", ErrFrame, len(b))
	}
	m, s := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
	if m == 0 || m > MaxMessage || s > MaxState {
		return 0, 0, fmt.Errorf("%w: message of %d bytes, state of %d", ErrFrame, m, s)
	}
	return int(m), int(s), nil
}

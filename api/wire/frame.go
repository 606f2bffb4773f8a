package wire

import (
	"encoding/binary"
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
	start := len(b)
	b = append(b, make([]byte, prefixLength)...)
	b, err := appendMessage(b, m)
	if err != nil {
		return nil, fmt.Errorf("wire: %s message: %w", m.Kind, err)
	}
	length := len(b) - start - prefixLength
	if length > MaxMessage || len(state) > MaxState {
		return nil, fmt.Errorf("%w: %s message of %d bytes with a state of %d", ErrFrame, m.Kind, length, len(state))
	}
	binary.BigEndian.PutUint32(b[start:], uint32(length))
	binary.BigEndian.PutUint32(b[start+4:], uint32(len(state)))
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

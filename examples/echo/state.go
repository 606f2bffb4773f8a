package main

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// The state blob, what travels with a client that is handed off:
//
//	byte  0     version, 1
//	bytes 1–4   where the line begins that is being received, big endian
//	bytes 5–    the history
const (
	stateVersion = 1
	stateHeader  = 5
)

var errState = errors.New("client's state not understood")

// marshal encodes the session for another worker, maybe on another replica.
func (s *session) marshal() []byte {
	b := make([]byte, stateHeader, stateHeader+len(s.history))
	b[0] = stateVersion
	binary.BigEndian.PutUint32(b[1:], uint32(s.line))
	return append(b, s.history...)
}

// unmarshal decodes what marshal made. No state at all is a new client's.
func (s *session) unmarshal(b []byte) error {
	s.history, s.line = nil, 0
	if len(b) == 0 {
		return nil
	}
	if len(b) < stateHeader {
		return fmt.Errorf("%w: %d bytes", errState, len(b))
	}
	if b[0] != stateVersion {
		return fmt.Errorf("%w: version %d", errState, b[0])
	}
	line, history := binary.BigEndian.Uint32(b[1:]), b[stateHeader:]
	if len(history) > maxHistory || int64(line) > int64(len(history)) {
		return fmt.Errorf("%w: line at %d of %d", errState, line, len(history))
	}
	s.history, s.line = append([]byte(nil), history...), int(line)
	return nil
}

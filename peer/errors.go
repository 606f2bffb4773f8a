package peer

import (
	"encoding/binary"
	"errors"
	"fmt"
)

var (
	// ErrUnreachable: the peer cannot have got the request, for it never left
	// here whole. It is safe to do without it, or to try another peer.
	ErrUnreachable = errors.New("peer: unreachable")
	// ErrLost: the request was sent, but no answer came: the outcome is unknown.
	ErrLost = errors.New("peer: answer lost")
	// ErrTooLarge: the request is longer than the peer takes. Nothing was sent.
	ErrTooLarge = errors.New("peer: message too large")
	// ErrClosed: this node is closed.
	ErrClosed = errors.New("peer: node closed")
)

// Codes of RemoteError that this package gives itself; handlers choose theirs
// from CodeUser up.
const (
	CodeInternal    uint16 = 1 // the handler failed with an error that has no code
	CodeUnknownKind uint16 = 2 // no handler for that kind
	CodeBusy        uint16 = 3 // no memory left for that request
	CodeClosing     uint16 = 4 // the peer is closing and takes no more requests
	CodeCancelled   uint16 = 5 // the caller cancelled before the request was whole
	CodeUser        uint16 = 256
)

// maxErrorText bounds the text of a RemoteError on the wire, in bytes.
const maxErrorText = 1024

// RemoteError is the peer's answer that it did not do what was asked.
type RemoteError struct {
	Code uint16
	Text string
}

// Error gives text and code.
func (e *RemoteError) Error() string {
	return fmt.Sprintf("peer: remote error %d: %s", e.Code, e.Text)
}

// marshal encodes code (16 bits, network byte order) and text.
func (e *RemoteError) marshal() []byte {
	text := e.Text
	if len(text) > maxErrorText {
		text = text[:maxErrorText]
	}
	return append(binary.BigEndian.AppendUint16(nil, e.Code), text...)
}

func parseRemoteError(b []byte) (*RemoteError, error) {
	if len(b) < 2 || len(b) > 2+maxErrorText {
		return nil, &ProtocolError{fmt.Sprintf("error frame of %d bytes", len(b))}
	}
	return &RemoteError{Code: binary.BigEndian.Uint16(b), Text: string(b[2:])}, nil
}

// remoteError is how a handler's error travels.
func remoteError(err error) *RemoteError {
	var r *RemoteError
	if errors.As(err, &r) {
		return r
	}
	return &RemoteError{Code: CodeInternal, Text: err.Error()}
}

// ProtocolError is a peer's breach of the framing or of the limits that this
// node announced. The connection is closed.
type ProtocolError struct{ What string }

// Error says what was wrong.
func (e *ProtocolError) Error() string { return "peer: protocol error: " + e.What }

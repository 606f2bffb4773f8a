package peer

import (
	"encoding/binary"
	"fmt"
	"io"
)

// A frame is a header of headerLen bytes, all in network byte order, and up to
// maxFragment bytes. A request or response longer than that is cut into
// fragments, all but the last with flagMore, so that a large one does not keep
// the others waiting; fragments of different messages may alternate.
//
//	 0               1               2               3
//	+---------------+---------------+---------------+---------------+
//	|                            length                             |
//	+---------------+---------------+---------------+---------------+
//	|     type      |     flags     |     kind      |   reserved    |
//	+---------------+---------------+---------------+---------------+
//	|                              id                               |
//	|                                                               |
//	+---------------+---------------+---------------+---------------+
const (
	headerLen   = 16
	maxFragment = 64 << 10
)

// flagMore says that the message goes on in another frame.
const flagMore = 1

type frameType uint8

const (
	frameHello    frameType = iota + 1 // first frame of each side, id 0
	frameRequest                       // kind and id are the caller's choice
	frameResponse                      // the answer to the request with that id
	frameError                         // the same, a RemoteError
	frameCancel                        // the caller of that id waits no more
	framePing                          // a sign of life, no answer, id 0
	frameTypes
)

type header struct {
	length int
	typ    frameType
	more   bool
	kind   Kind
	id     uint64
}

func (h header) append(b []byte) []byte {
	var flags byte
	if h.more {
		flags = flagMore
	}
	b = binary.BigEndian.AppendUint32(b, uint32(h.length))
	b = append(b, byte(h.typ), flags, byte(h.kind), 0)
	return binary.BigEndian.AppendUint64(b, h.id)
}

// parseHeader reads and checks the first headerLen bytes of b, which has them.
func parseHeader(b []byte) (header, error) {
	length := binary.BigEndian.Uint32(b)
	h := header{typ: frameType(b[4]), more: b[5]&flagMore != 0, kind: Kind(b[6]), id: binary.BigEndian.Uint64(b[8:])}
	bad := func(what string) (header, error) {
		return header{}, &ProtocolError{fmt.Sprintf("%s (type %d, flags %#x, kind %d, id %d, length %d)", what, b[4], b[5], b[6], h.id, length)}
	}
	if h.typ == 0 || h.typ >= frameTypes {
		return bad("unknown frame type")
	}
	if length > maxFragment {
		return bad("frame too long")
	}
	h.length = int(length)
	if b[5]&^flagMore != 0 || b[7] != 0 {
		return bad("reserved bits are set")
	}
	if h.more && h.typ != frameRequest && h.typ != frameResponse {
		return bad("fragment of what cannot be fragmented")
	}
	if h.more && h.length == 0 {
		return bad("empty fragment")
	}
	if (h.kind != 0) != (h.typ == frameRequest) {
		return bad("kind where none belongs, or none in a request")
	}
	switch h.typ {
	case frameHello, framePing:
		if h.id != 0 {
			return bad("id where none belongs")
		}
	default:
		if h.id == 0 {
			return bad("id is missing")
		}
	}
	if (h.typ == framePing || h.typ == frameCancel) && h.length != 0 {
		return bad("content where none belongs")
	}
	return h, nil
}

// readFrame reads one frame; the payload is valid until buf is used again.
// buf has room for the longest frame.
func readFrame(r io.Reader, buf []byte) (header, []byte, error) {
	if _, err := io.ReadFull(r, buf[:headerLen]); err != nil {
		return header{}, nil, err
	}
	h, err := parseHeader(buf)
	if err != nil {
		return header{}, nil, err
	}
	payload := buf[headerLen : headerLen+h.length]
	if _, err := io.ReadFull(r, payload); err != nil {
		return header{}, nil, err
	}
	return h, payload, nil
}

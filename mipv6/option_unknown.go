package mipv6

import (
	"bytes"
	"fmt"
)

// UnknownOption is an option that this package does not know, kept whole. A
// receiver skips it in silence (RFC 6275 §6.2.1).
type UnknownOption struct {
	Type uint8
	Data []byte // at most 255 octets
}

func (o *UnknownOption) optionType() uint8 { return o.Type }

// Nothing is known of its alignment.
func (*UnknownOption) align() (of, at int) { return 1, 0 }

func (o *UnknownOption) marshal(b []byte) ([]byte, error) {
	if _, unknown := newOption(o.Type).(*UnknownOption); !unknown || o.Type <= optionPadN {
		return nil, fmt.Errorf("type %d is not unknown", o.Type)
	}
	return append(b, o.Data...), nil
}

func (o *UnknownOption) unmarshal(b []byte) bool {
	o.Data = bytes.Clone(b)
	return true
}

package mipv6

// NonceIndices is the Nonce Indices option: which of the correspondent's
// nonces the tokens behind an authenticator were made with (RFC 6275 §6.2.6).
type NonceIndices struct {
	Home, CareOf uint16
}

const nonceIndicesLen = 4

func (*NonceIndices) optionType() uint8   { return optionNonceIndices }
func (*NonceIndices) align() (of, at int) { return 2, 0 }

func (o *NonceIndices) marshal(b []byte) ([]byte, error) {
	return order.AppendUint16(order.AppendUint16(b, o.Home), o.CareOf), nil
}

func (o *NonceIndices) unmarshal(b []byte) bool {
	if len(b) != nonceIndicesLen {
		return false
	}
	o.Home, o.CareOf = order.Uint16(b), order.Uint16(b[2:])
	return true
}

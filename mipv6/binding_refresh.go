package mipv6

// BindingRefreshRequest asks a mobile node to update its binding (RFC 6275 §6.1.2).
type BindingRefreshRequest struct {
	Options []Option
}

const bindingRefreshRequestLen = 2 // Reserved

// Type implements Message.
func (*BindingRefreshRequest) Type() Type { return TypeBindingRefreshRequest }

func (*BindingRefreshRequest) bodyLen() int                 { return bindingRefreshRequestLen }
func (*BindingRefreshRequest) marshal([]byte) error         { return nil }
func (*BindingRefreshRequest) unmarshal([]byte)             {}
func (m *BindingRefreshRequest) mobilityOptions() *[]Option { return &m.Options }

package tcbpf

// Lengths of headers in bytes, and protocol numbers, of what passes through user
// space: kept packets and quotations.
const (
	ipv6Length      = 40
	extensionLength = 24 // of either extension header that the programs insert

	protocolIPv6    = 41
	protocolOptions = 60
	icmpv6          = 58
)

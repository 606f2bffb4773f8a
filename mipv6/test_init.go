package mipv6

// Cookie is an init cookie: chosen by the mobile node, returned by the
// correspondent, it ties a test to its init (RFC 6275 §5.2.4).
type Cookie [8]byte

// HomeTestInit starts the home half of return routability. It travels from
// the home address, through the home agent (RFC 6275 §6.1.3).
type HomeTestInit struct {
	Cookie  Cookie
	Options []Option
}

// CareOfTestInit starts the care-of half. It travels from the care-of address
// (RFC 6275 §6.1.4).
type CareOfTestInit struct {
	Cookie  Cookie
	Options []Option
}

// Message Data of both: Reserved (2), Init Cookie (8).
const (
	testInitCookie = 2
	testInitLen    = testInitCookie + 8
)

// Type implements Message.
func (*HomeTestInit) Type() Type { return TypeHomeTestInit }

func (*HomeTestInit) bodyLen() int                 { return testInitLen }
func (m *HomeTestInit) marshal(b []byte) error     { copy(b[testInitCookie:], m.Cookie[:]); return nil }
func (m *HomeTestInit) unmarshal(b []byte)         { copy(m.Cookie[:], b[testInitCookie:]) }
func (m *HomeTestInit) mobilityOptions() *[]Option { return &m.Options }

// Type implements Message.
func (*CareOfTestInit) Type() Type { return TypeCareOfTestInit }

func (*CareOfTestInit) bodyLen() int                 { return testInitLen }
func (m *CareOfTestInit) marshal(b []byte) error     { copy(b[testInitCookie:], m.Cookie[:]); return nil }
func (m *CareOfTestInit) unmarshal(b []byte)         { copy(m.Cookie[:], b[testInitCookie:]) }
func (m *CareOfTestInit) mobilityOptions() *[]Option { return &m.Options }

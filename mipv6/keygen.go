package mipv6

// KeygenToken is a home or care-of keygen token, made by the correspondent
// (RFC 6275 §5.2.5).
type KeygenToken [8]byte

// HomeTest answers a HomeTestInit (RFC 6275 §6.1.5).
type HomeTest struct {
	NonceIndex uint16 // the correspondent's nonce that the token was made with
	Cookie     Cookie
	Token      KeygenToken
	Options    []Option
}

// CareOfTest answers a CareOfTestInit (RFC 6275 §6.1.6).
type CareOfTest struct {
	NonceIndex uint16 // the correspondent's nonce that the token was made with
	Cookie     Cookie
	Token      KeygenToken
	Options    []Option
}

// Message Data of both: Nonce Index (2), Init Cookie (8), Keygen Token (8).
const (
	keygenTestCookie = 2
	keygenTestToken  = keygenTestCookie + 8
	keygenTestLen    = keygenTestToken + 8
)

// Type implements Message.
func (*HomeTest) Type() Type { return TypeHomeTest }

func (*HomeTest) bodyLen() int                 { return keygenTestLen }
func (m *HomeTest) mobilityOptions() *[]Option { return &m.Options }

func (m *HomeTest) marshal(b []byte) error {
	putKeygenTest(b, m.NonceIndex, m.Cookie, m.Token)
	return nil
}

func (m *HomeTest) unmarshal(b []byte) {
	m.NonceIndex, m.Cookie, m.Token = keygenTest(b)
}

// Type implements Message.
func (*CareOfTest) Type() Type { return TypeCareOfTest }

func (*CareOfTest) bodyLen() int                 { return keygenTestLen }
func (m *CareOfTest) mobilityOptions() *[]Option { return &m.Options }

func (m *CareOfTest) marshal(b []byte) error {
	putKeygenTest(b, m.NonceIndex, m.Cookie, m.Token)
	return nil
}

func (m *CareOfTest) unmarshal(b []byte) {
	m.NonceIndex, m.Cookie, m.Token = keygenTest(b)
}

func putKeygenTest(b []byte, index uint16, c Cookie, t KeygenToken) {
	order.PutUint16(b, index)
	copy(b[keygenTestCookie:], c[:])
	copy(b[keygenTestToken:], t[:])
}

func keygenTest(b []byte) (index uint16, c Cookie, t KeygenToken) {
	return order.Uint16(b), Cookie(b[keygenTestCookie:keygenTestToken]), KeygenToken(b[keygenTestToken:])
}

package mipv6

// Authenticator is First(96, HMAC_SHA1(Kbm, Mobility Data)), the 96 bits of a
// Binding Authorization Data option (RFC 6275 §6.2.7).
type Authenticator [12]byte

// AuthorizationData is the Binding Authorization Data option, always the last
// of a message (RFC 6275 §6.2.7).
type AuthorizationData struct {
	Authenticator Authenticator
}

func (*AuthorizationData) optionType() uint8 { return optionAuthorizationData }

// Last option, and ending where the header does: 8n+2 (§6.2.7).
func (*AuthorizationData) align() (of, at int) { return 8, 2 }

func (o *AuthorizationData) marshal(b []byte) ([]byte, error) {
	return append(b, o.Authenticator[:]...), nil
}

func (o *AuthorizationData) unmarshal(b []byte) bool {
	if len(b) != len(o.Authenticator) {
		return false
	}
	o.Authenticator = Authenticator(b)
	return true
}

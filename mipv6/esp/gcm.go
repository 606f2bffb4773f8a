package esp

import (
	"crypto/aes"
	"crypto/cipher"
)

// gcm is RFC 4106: the nonce is the salt and the initialisation vector, what is
// authenticated besides is SPI and sequence number.
type gcm struct {
	aead cipher.AEAD
	salt [saltLen]byte
}

const gcmIVLen = 8

func newGCM(key, salt []byte) (*gcm, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	return &gcm{aead, [saltLen]byte(salt)}, nil
}

func (*gcm) ivLen() int { return gcmIVLen }
func (*gcm) align() int { return minAlign }

func (g *gcm) nonce(b []byte) []byte {
	n := make([]byte, 0, saltLen+gcmIVLen)
	n = append(n, g.salt[:]...)
	return append(n, b[headerLen:headerLen+gcmIVLen]...)
}

func (g *gcm) seal(b []byte) {
	const clear = headerLen + gcmIVLen
	plain := b[clear : len(b)-icvLen]
	g.aead.Seal(plain[:0], g.nonce(b), plain, b[:headerLen])
}

func (g *gcm) open(b []byte) bool {
	const clear = headerLen + gcmIVLen
	sealed := b[clear:]
	_, err := g.aead.Open(sealed[:0], g.nonce(b), sealed, b[:headerLen])
	return err == nil
}

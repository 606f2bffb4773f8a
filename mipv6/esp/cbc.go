package esp

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
)

// cbc is AES-CBC (RFC 3602) and, over all of the packet before it, the first 128
// bits of HMAC-SHA-256 (RFC 4868).
type cbc struct {
	block cipher.Block
	mac   []byte
}

func newCBC(key, mac []byte) (*cbc, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return &cbc{block, bytes.Clone(mac)}, nil
}

func (*cbc) ivLen() int { return aes.BlockSize }
func (*cbc) align() int { return aes.BlockSize }

func (c *cbc) icv(b []byte) []byte {
	h := hmac.New(sha256.New, c.mac)
	h.Write(b[:len(b)-icvLen])
	return h.Sum(nil)[:icvLen]
}

// parts are the initialisation vector and what is encrypted.
func (c *cbc) parts(b []byte) (iv, inner []byte) {
	return b[headerLen : headerLen+aes.BlockSize], b[headerLen+aes.BlockSize : len(b)-icvLen]
}

func (c *cbc) seal(b []byte) {
	iv, inner := c.parts(b)
	cipher.NewCBCEncrypter(c.block, iv).CryptBlocks(inner, inner)
	copy(b[len(b)-icvLen:], c.icv(b))
}

func (c *cbc) open(b []byte) bool {
	if !hmac.Equal(c.icv(b), b[len(b)-icvLen:]) {
		return false
	}
	iv, inner := c.parts(b)
	cipher.NewCBCDecrypter(c.block, iv).CryptBlocks(inner, inner)
	return true
}

// Package stream makes the byte streams that the end-to-end tests send: any
// length, any part of it made without the parts before, and no part like
// another, so that a byte lost, doubled or moved shows in the SHA-256.
package stream

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/binary"
	"io"
)

// Source reads the stream of a seed: the key stream of AES in counter mode.
type Source struct {
	block cipher.Block
	at    int64
	key   cipher.Stream // positioned at at; nil after a seek
}

// New starts the stream of a seed at an offset in bytes.
func New(seed uint64, offset int64) *Source {
	key := make([]byte, 16)
	binary.BigEndian.PutUint64(key, seed)
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // 16 bytes are a key
	}
	return &Source{block: block, at: offset}
}

// Read fills b; the stream has no end.
func (s *Source) Read(b []byte) (int, error) {
	if s.key == nil {
		counter := make([]byte, aes.BlockSize)
		binary.BigEndian.PutUint64(counter[8:], uint64(s.at/aes.BlockSize))
		s.key = cipher.NewCTR(s.block, counter)
		skip := make([]byte, s.at%aes.BlockSize)
		s.key.XORKeyStream(skip, skip)
	}
	clear(b)
	s.key.XORKeyStream(b, b)
	s.at += int64(len(b))
	return len(b), nil
}

// Offset is where the next Read begins.
func (s *Source) Offset() int64 { return s.at }

// Back goes back n bytes: what was read but could not be sent.
func (s *Source) Back(n int) {
	if n > 0 {
		s.at -= int64(n)
		s.key = nil
	}
}

// Sum is the SHA-256 of the first size bytes of a seed's stream.
func Sum(seed uint64, size int64) [sha256.Size]byte {
	h := sha256.New()
	// Neither the source nor the hash can fail.
	_, _ = io.Copy(h, io.LimitReader(New(seed, 0), size))
	return [sha256.Size]byte(h.Sum(nil))
}

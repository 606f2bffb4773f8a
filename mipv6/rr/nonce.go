package rr

import (
	"encoding/binary"
	"fmt"
	"io"
	"time"

	"github.com/vanycast/vanycast/mipv6"
)

// nonce is one nonce of the correspondent (RFC 6275 §5.2.2).
type nonce struct {
	index uint16
	value [nonceLen]byte
	born  time.Time // when it was made, which is when it was first used
}

// nonces are the correspondent's nonces that are still good, oldest first. A
// new one is made only when a token is asked for, so that an idle correspondent
// does nothing and a nonce's age counts from its first use.
type nonces struct {
	rand io.Reader
	next uint16 // the index of the next nonce; it runs modulo 2^16
	live []nonce
}

func newNonces(rand io.Reader) (*nonces, error) {
	var start [2]byte
	if _, err := io.ReadFull(rand, start[:]); err != nil {
		return nil, fmt.Errorf("rr: choose first nonce index: %w", err)
	}
	return &nonces{rand: rand, next: binary.BigEndian.Uint16(start[:])}, nil
}

// current returns the nonce that new tokens are made with.
func (n *nonces) current(now time.Time) (nonce, error) {
	n.expire(now)
	if k := len(n.live); k > 0 && now.Sub(n.live[k-1].born) < NonceInterval {
		return n.live[k-1], nil
	}
	fresh := nonce{index: n.next, born: now}
	if _, err := io.ReadFull(n.rand, fresh.value[:]); err != nil {
		return nonce{}, fmt.Errorf("rr: make nonce %d: %w", n.next, err)
	}
	n.next++
	n.live = append(n.live, fresh)
	return fresh, nil
}

// find returns the nonce with that index if it is still good: not older than
// MAX_NONCE_LIFETIME (RFC 6275 §5.2.2).
func (n *nonces) find(now time.Time, index uint16) (nonce, bool) {
	n.expire(now)
	for _, v := range n.live {
		if v.index == index {
			return v, true
		}
	}
	return nonce{}, false
}

func (n *nonces) expire(now time.Time) {
	k := 0
	for k < len(n.live) && now.Sub(n.live[k].born) > mipv6.MaxNonceLifetime {
		k++
	}
	n.live = n.live[:copy(n.live, n.live[k:])]
}

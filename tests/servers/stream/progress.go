package main

import (
	"crypto/sha256"
	"encoding"
	"encoding/json"
	"fmt"
	"hash"
)

// progress is how far a client is: the state blob of its handoffs.
type progress struct {
	Received int64  `json:"received"`
	Ended    bool   `json:"ended"` // the client has sent all
	Sent     int64  `json:"sent"`
	Servers  int    `json:"servers"` // that had the client, each time counted
	Hash     []byte `json:"hash"`    // of what was received: its inner state

	hash hash.Hash
}

// resume takes up a client; no state is a new client's.
func resume(state []byte) (*progress, error) {
	p := &progress{hash: sha256.New()}
	if len(state) == 0 {
		return p, nil
	}
	if err := json.Unmarshal(state, p); err != nil {
		return nil, fmt.Errorf("state of %d bytes: %w", len(state), err)
	}
	if err := p.hash.(encoding.BinaryUnmarshaler).UnmarshalBinary(p.Hash); err != nil {
		return nil, fmt.Errorf("state of the hash: %w", err)
	}
	return p, nil
}

func (p *progress) marshal() ([]byte, error) {
	var err error
	if p.Hash, err = p.hash.(encoding.BinaryMarshaler).MarshalBinary(); err != nil {
		return nil, err
	}
	return json.Marshal(p)
}

package ipsec

import (
	"errors"

	"github.com/vanycast/vanycast/mipv6/esp"
)

// ErrNoPair: this host is not that end of such a pair.
var ErrNoPair = errors.New("no such pair on this host")

// State is a generation of a pair as operators see it: no keys.
type State struct {
	Pair      Pair
	Side      Side
	Number    uint32
	Algorithm esp.Algorithm
	SPIs      map[Purpose]uint32
	Sent      map[Purpose]uint32 // last sequence number, of what this side sends
	Received  map[Purpose]uint32 // highest, of what it receives
	Sending   bool               // is what this side sends with
	Heard     bool               // the other end uses it
}

// State is every generation, by pair and number. A pair without keys has none.
func (e *Endpoint) State() []State {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []State
	for _, r := range e.sorted() {
		for _, l := range r.live {
			s := State{
				Pair: r.pair, Side: r.side, Number: l.Number, Algorithm: l.Algorithm,
				SPIs: map[Purpose]uint32{}, Sent: map[Purpose]uint32{}, Received: map[Purpose]uint32{},
				Sending: l == r.sending(), Heard: !l.heard.IsZero(),
			}
			for _, p := range Purposes() {
				s.SPIs[p] = l.Associations[p].SPI
				if r.side.sends(p) {
					s.Sent[p] = r.last(l, p)
				} else {
					s.Received[p] = r.last(l, p)
				}
			}
			out = append(out, s)
		}
	}
	return out
}

// Pairs are those of this host, with keys or without.
func (e *Endpoint) Pairs() []Pair {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []Pair
	for _, r := range e.sorted() {
		out = append(out, r.pair)
	}
	return out
}

package ipsec

// Store keeps what a pair needs after a restart. Its methods are not called
// concurrently.
type Store interface {
	// SaveKeys replaces the generations. They must be safe on disk when it
	// returns.
	SaveKeys([]Generation) error
	// SaveNumbers replaces the sequence numbers; durable as SaveKeys.
	SaveNumbers([]Generation, Numbers) error
}

// Numbers are sequence numbers by SPI: of what we send, up to which none will be
// used again; of what we receive, the highest that we know of.
type Numbers map[uint32]uint32

// block is how many sequence numbers are reserved at once: as many are lost with
// a restart.
const block = 1 << 14

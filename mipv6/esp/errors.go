package esp

import "errors"

// What can be wrong with a packet or a key, for errors.Is.
var (
	// ErrMalformed: too short, or of a length that no sender makes.
	ErrMalformed = errors.New("malformed ESP packet")
	// ErrAuthentication: the integrity check value is not right: another key,
	// or the packet was changed.
	ErrAuthentication = errors.New("ESP integrity check failed")
	// ErrReplay: the sequence number was there before, or is older than the window.
	ErrReplay = errors.New("ESP packet replayed")
	// ErrExhausted: the key has protected as many packets as it may.
	ErrExhausted = errors.New("ESP sequence numbers exhausted: the key must be replaced")
	// ErrKey: a key of a wrong length, or an unknown algorithm.
	ErrKey = errors.New("ESP key does not fit the algorithm")
)

package rr

import (
	"time"

	"github.com/vanycast/vanycast/mipv6"
)

// Lengths of RFC 6275 §5.2, in octets.
const (
	nodeKeyLen = 20 // Kcn, §5.2.1
	nonceLen   = 8  // §5.2.2 recommends 64 bits
	kbmLen     = 20 // a SHA-1 sum, §5.2.5
)

// Our own limits.
const (
	// NonceInterval is for how long one nonce makes new tokens. A token made in
	// the last moment of it is still good for MaxTokenLifetime, and the nonce
	// then is exactly MaxNonceLifetime old (RFC 6275 §5.2.2).
	NonceInterval = mipv6.MaxNonceLifetime - mipv6.MaxTokenLifetime

	// TokenMargin is taken off MaxTokenLifetime before a token is called fresh:
	// the time that a Binding Update needs to reach the correspondent, and that
	// a token spends between replicas, where only its age travels.
	TokenMargin = 10 * time.Second

	// DefaultTries is how often an Initiator sends each Init message before it
	// gives up: at 0, 1, 3 and 7 seconds, the end at 15.
	DefaultTries = 4

	// maxTries bounds the cookies that a run remembers.
	maxTries = 16

	// RelayLifetime is for how long the contact node waits for the answer to a
	// relayed Home Test Init.
	RelayLifetime = 10 * time.Second

	// DefaultRelayLimit and DefaultRelayPerAsker bound the relay's table.
	DefaultRelayLimit    = 4096
	DefaultRelayPerAsker = 512
)

package bindings

import "time"

// Our own limits; those of RFC 6275 are in package mipv6.
const (
	// DefaultCacheLimit bounds the bindings in a Cache together with the
	// sequence numbers that it remembers of removed ones.
	DefaultCacheLimit = 8192
	// DefaultCachePerPrefix bounds those of one home prefix (/64): one stranger
	// who owns a prefix must not be able to fill the cache alone.
	DefaultCachePerPrefix = 1024
	// MaxRefreshRequests is how often a binding that is about to expire is
	// asked to be refreshed (RFC 6275 §9.5.5 leaves it to the correspondent).
	MaxRefreshRequests = 2

	// Bounds of Further: bindings with a Binding Identifier, in all and of one home
	// address, and flow bindings, in all and of one binding.
	DefaultFurtherLimit    = 4096
	DefaultFurtherPerHome  = 64
	DefaultFlowLimit       = 65536
	DefaultFlowsPerBinding = 1024

	// DefaultUpdateLimit bounds an UpdateList.
	DefaultUpdateLimit = 65536
	// DefaultTries is how often a Binding Update is sent that is not
	// acknowledged: at 0, 1, 3, 7 and 15 seconds.
	DefaultTries = 5
	// maxTries bounds the sequence numbers that one exchange may use up.
	maxTries = 64

	// refreshLead is the longest time before its end that a binding is
	// refreshed; short ones are at three quarters of their life.
	refreshLead = time.Minute
	// requestLead is the same for the correspondent's Binding Refresh Request:
	// it comes later, for the mobile node's own refresh should make it needless.
	requestLead = 30 * time.Second
)

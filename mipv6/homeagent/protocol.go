package homeagent

import "time"

// Constants of neighbour discovery (RFC 4861 §10, RFC 4862 §5.1).
const (
	// retransTimer is how long duplicate address detection waits for an answer,
	// and the time between unsolicited advertisements.
	retransTimer = time.Second
	// maxAdvertisements is MAX_NEIGHBOR_ADVERTISEMENT: how often the neighbours
	// are told of a new registration (RFC 6275 §10.4.1).
	maxAdvertisements = 3
	// maxSolicitations is MAX_MULTICAST_SOLICIT: how often a link-layer address is
	// asked for.
	maxSolicitations = 3
	// Router advertisements (RFC 4861 §6.2.1, §10): the first ones come closer, and
	// a solicited one after a random moment.
	maxInitialAdverts        = 3
	maxInitialAdvertInterval = 16 * time.Second
	maxAdvertDelay           = 500 * time.Millisecond
	// nonceLen fills the Nonce option's unit of 8 octets (RFC 3971 §5.3.2).
	nonceLen = 6
)

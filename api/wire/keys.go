package wire

import "net/netip"

// Key is one generation of the IPsec keys that this host shares with another; it
// holds no key. Associations are by name: bu, ba, hoti, hot.
type Key struct {
	Contact    netip.Addr        `json:"contact"`
	CareOf     netip.Addr        `json:"care_of"`
	HomeAgent  netip.Addr        `json:"home_agent"`
	Side       string            `json:"side"` // replica, home-agent
	Generation uint32            `json:"generation"`
	Algorithm  string            `json:"algorithm"`
	SPIs       map[string]uint32 `json:"spis"`
	Sent       map[string]uint32 `json:"sent"`     // last sequence numbers
	Received   map[string]uint32 `json:"received"` // highest sequence numbers
	Sending    bool              `json:"sending"`  // this side sends with it
	Heard      bool              `json:"heard"`    // the other side does
}

// RollKeys asks a home agent for new keys.
type RollKeys struct {
	Contact   netip.Addr `json:"contact,omitzero"`    // default: all contact addresses
	CareOf    netip.Addr `json:"care_of,omitzero"`    // default: all replicas that have keys
	Algorithm string     `json:"algorithm,omitempty"` // default: as before
}

// RolledKeys are new keys; with an error they are those that were made before it.
type RolledKeys struct {
	Deliveries []KeyDelivery `json:"deliveries"`
	Error      string        `json:"error,omitempty"`
}

// KeyDelivery is new keys on their way to the replica that they are for. Secret.
type KeyDelivery struct {
	Contact   netip.Addr `json:"contact"`
	CareOf    netip.Addr `json:"care_of"`
	HomeAgent netip.Addr `json:"home_agent"`
	Keys      string     `json:"keys"` // as a key file
}

// KeyLoaded is what became of a delivery.
type KeyLoaded struct {
	Contact netip.Addr `json:"contact"`
	CareOf  netip.Addr `json:"care_of"`
	Error   string     `json:"error,omitempty"`
}

// RevokeKeys asks a home agent to forget a replica's keys.
type RevokeKeys struct {
	CareOf netip.Addr `json:"care_of"`
}

// RevokedKey is a pair whose keys were revoked.
type RevokedKey struct {
	Contact    netip.Addr `json:"contact"`
	CareOf     netip.Addr `json:"care_of"`
	Registered bool       `json:"registered"` // it was registered there, and is no more
}

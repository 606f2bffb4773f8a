package wire

import (
	"net/netip"
	"time"
)

// Error is the body of a request that failed.
type Error struct {
	Error string `json:"error"`
}

// Status is the daemon in short.
type Status struct {
	Version   string            `json:"version"`
	Name      string            `json:"name"`
	Roles     []string          `json:"roles"`
	CareOf    netip.Addr        `json:"care_of,omitzero"`
	Interface string            `json:"interface,omitempty"`
	Dataplane string            `json:"dataplane,omitempty"`
	Started   time.Time         `json:"started"`
	Services  []Service         `json:"services,omitempty"`
	Counters  map[string]uint64 `json:"counters,omitempty"` // by "part.name"
}

// Service is one service in the status.
type Service struct {
	Name        string         `json:"name"`
	Contact     netip.AddrPort `json:"contact"`
	HomeAgent   netip.Addr     `json:"home_agent,omitzero"`
	ContactNode bool           `json:"contact_node"`            // this replica holds the contact address
	Holder      netip.Addr     `json:"contact_holder,omitzero"` // who does, as far as it knows
	Rank        int            `json:"contact_rank,omitempty"`  // of this replica among the contact nodes, 1 the best; 0: it is none
	Epoch       *uint16        `json:"contact_epoch,omitempty"` // the number of the holder's registration, if known
	Lost        []netip.Addr   `json:"contact_lost,omitempty"`  // contact nodes that do not answer this one
	Policy      string         `json:"policy"`
	Listening   bool           `json:"listening"` // an application listens
	Clients     int            `json:"clients"`
	Waiting     int            `json:"waiting"` // of these, for an application
	Backlog     int            `json:"backlog"`
}

// Replica is what this replica thinks of one, itself included.
type Replica struct {
	Service   string     `json:"service"`
	Address   netip.Addr `json:"address"`
	Self      bool       `json:"self"`
	Listening bool       `json:"listening,omitempty"` // known of itself only
	Excluded  time.Time  `json:"excluded_until,omitzero"`
	Error     string     `json:"error,omitempty"`
	Accepted  uint64     `json:"accepted"` // handoffs from here
	Failed    uint64     `json:"failed"`
	Steered   uint64     `json:"steered"`            // new connections sent there by us as contact node
	Standing  string     `json:"standing,omitempty"` // what it says of itself: listening, full, draining, steered
}

// Client is one client's connection.
type Client struct {
	ID         uint64         `json:"id"`
	Service    string         `json:"service"`
	Local      netip.AddrPort `json:"local"`
	Remote     netip.AddrPort `json:"remote"`
	State      string         `json:"state"` // selecting, probing, moving, queued, held, closing
	HandedOff  bool           `json:"handed_off"`
	From       netip.Addr     `json:"from,omitzero"`
	Target     netip.Addr     `json:"target,omitzero"`
	MobileIPv6 string         `json:"mobile_ipv6"` // yes, no, unknown
	Since      time.Time      `json:"since"`
}

// Binding is one entry of a binding update list or a binding cache.
type Binding struct {
	Role     string     `json:"role"` // replica, home-agent, correspondent; relay: a connection of a client without Mobile IPv6
	Home     netip.Addr `json:"home"`
	CareOf   netip.Addr `json:"care_of"`
	Peer     netip.Addr `json:"peer,omitzero"` // the home agent or the client
	Port     uint16     `json:"port,omitzero"` // the client's, where one connection is meant
	Sequence uint16     `json:"sequence"`
	Expires  time.Time  `json:"expires,omitzero"`
	State    string     `json:"state,omitempty"`
}

// Handoff is one handoff that ended. Durations are in milliseconds.
type Handoff struct {
	ID      uint64             `json:"id"` // the client's
	Service string             `json:"service"`
	Client  netip.AddrPort     `json:"client"`
	Contact netip.AddrPort     `json:"contact"`
	From    netip.Addr         `json:"from"`
	To      netip.Addr         `json:"to"`
	Role    string             `json:"role"` // donor, acceptor
	Mode    string             `json:"mode"`
	Started time.Time          `json:"started"`
	Gap     float64            `json:"gap_ms"`
	Bytes   int                `json:"bytes"`
	Phases  map[string]float64 `json:"phases_ms,omitempty"`
	Error   string             `json:"error,omitempty"`
}

// Event is something that happened.
type Event struct {
	Time    time.Time      `json:"time"`
	Kind    string         `json:"kind"`
	Service string         `json:"service,omitempty"`
	ID      uint64         `json:"id,omitempty"` // the client's
	Client  netip.AddrPort `json:"client,omitzero"`
	Target  netip.Addr     `json:"target,omitzero"`
	Text    string         `json:"text,omitempty"`
}

// ListenRequest is the body of a listen request; what is left out is as
// configured.
type ListenRequest struct {
	Policy      string `json:"policy,omitempty"`
	NeverSelf   *bool  `json:"never_self,omitempty"`
	ContactOnly *bool  `json:"contact_only,omitempty"`
	// HandoffRequests: the application takes messages of KindOrder.
	HandoffRequests bool `json:"handoff_requests,omitempty"`
}

// HandoffRequest is the body of a request to hand all connections of a client
// off to a replica. The answer is a list of ClientHandoff, one for each.
type HandoffRequest struct {
	Client netip.Addr `json:"client"`
	To     netip.Addr `json:"to"` // the replica's care-of address
}

// ClientHandoff says what became of one connection.
type ClientHandoff struct {
	ID      uint64         `json:"id"`
	Service string         `json:"service"`
	Local   netip.AddrPort `json:"local"`
	Remote  netip.AddrPort `json:"remote"`
	Failure *Failure       `json:"failure,omitempty"` // none: the replica has it
}

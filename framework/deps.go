package framework

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	"github.com/vanycast/vanycast/handoff"
)

// Agent moves a client to another replica; handoff.Agent is one.
type Agent interface {
	// Handoff returns nil when the target has the client and c.FD is closed. On
	// any other error than handoff.ErrGone the client is alive here and c.FD
	// valid.
	Handoff(ctx context.Context, c *handoff.Client, target netip.Addr) error
	// Prepare makes the target ready for a Handoff of the client soon, while it
	// is served here. It does not need c.FD.
	Prepare(ctx context.Context, c *handoff.Client, target netip.Addr) error
}

// Address is the contact address of the service; anycast.Address is one. Errors
// of Probe and Bind wrap handoff.ErrNoMobileIPv6 where the client has none.
type Address interface {
	// IsContactNode tells whether this replica holds the contact address now.
	IsContactNode() bool
	// Probe does the home test of return routability (RFC 6275 §5.2.5) ahead
	// of a handoff.
	Probe(ctx context.Context, client netip.Addr) error
	// Bind optimises the route of a client that is served here.
	Bind(ctx context.Context, client netip.Addr) error
	// Clear removes the client's binding.
	Clear(ctx context.Context, client netip.Addr) error
}

// Relay lets clients without Mobile IPv6 be handed off as others are;
// anycast.Address is one.
type Relay interface {
	// CanRelay tells whether that is possible from here, now.
	CanRelay() bool
	// Immobile tells that a client has no Mobile IPv6, as a target found out.
	Immobile(client netip.Addr)
	// Closed tells that a connection has been closed here, while its client has others
	// here or has not: what is unsent still has to reach the client. It must not wait.
	Closed(local, remote netip.AddrPort, others bool)
	// Vacated tells that a client has no connection here any more; others may be
	// relayed from here. It must not wait.
	Vacated(client netip.Addr)
}

// Deps is what a Service works with. Agent and Address must be set.
type Deps struct {
	Agent   Agent
	Address Address
	// Relay may be nil: clients without Mobile IPv6 are served at the contact
	// node.
	Relay Relay
	// Fallback may be nil: then nobody looks whether packets that go straight arrive.
	Fallback Fallback
	// Live is shared by the services of one contact address; default: this
	// service has the address for itself.
	Live *Live
	// SameHost tells whether a client's address is one of this host's: such a
	// client cannot be handed off. OnThisHost does; default: none is.
	SameHost func(client netip.Addr) bool
	// Steered tells whether the contact node chose this replica for a connection that
	// was accepted; default: no.
	Steered func(local, remote netip.AddrPort) bool
	// Ask has another replica's HandleStanding answer; default: nobody is asked, and
	// nothing is steered.
	Ask func(ctx context.Context, replica netip.Addr, req []byte) ([]byte, error)
	// Failed is told of a replica that cannot be asked.
	Failed func(replica netip.Addr)
	// Policy makes a policy by name; default NewPolicy.
	Policy func(name string) (Policy, error)
	// Observe is told what happens to clients, in order; it must not block.
	Observe func(Event)
	Logger  *slog.Logger // default: discard
}

func (d *Deps) relays() bool { return d.Relay != nil && d.Relay.CanRelay() }

// EventKind says what happened to a client.
type EventKind string

// What happens to clients.
const (
	EventAccepted   EventKind = "accepted"       // connected here
	EventSteered    EventKind = "steered"        // sent to another replica at its SYN
	EventArrived    EventKind = "arrived"        // handed off to this replica
	EventDelivered  EventKind = "delivered"      // taken by an application
	EventRequeued   EventKind = "requeued"       // handed to this replica's own application
	EventHandedOff  EventKind = "handed-off"     // another replica has it
	EventFailed     EventKind = "handoff-failed" // a replica did not take it
	EventFellBack   EventKind = "fell-back"      // its packets do not get through on the short cut
	EventClosed     EventKind = "closed"         // its connection is over
	EventReplicaOut EventKind = "replica-failed" // the replica is not selected for a while
)

// Event is one of them.
type Event struct {
	Time    time.Time
	Kind    EventKind
	Service string
	ID      uint64 // handoff.Client.ID
	Client  netip.AddrPort
	Target  netip.Addr // the other replica, if there is one
	Err     error
}

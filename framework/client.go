package framework

import (
	"container/list"
	"net/netip"
	"time"
)

// key names a client at this replica. It is not handoff.Client.ID, which stays
// the same for the client's life: a client may be back from another replica
// before its leaving was noticed here.
type key uint64

// socketID names a server socket.
type socketID uint64

// phase is where a client is in its life at this replica.
type phase uint8

const (
	phaseSelecting phase = iota // the policy is asked
	phaseProbing                // its home test runs
	phaseMoving                 // it is being handed off
	phaseQueued                 // it waits for an application
	phaseHeld                   // an application has it
	phaseClosing                // its connection is being closed
)

var phaseNames = [...]string{"selecting", "probing", "moving", "queued", "held", "closing"}

func (p phase) String() string { return phaseNames[p] }

// client is what core knows of one client.
type client struct {
	key           key
	id            uint64
	local, remote netip.AddrPort
	phase         phase
	since         time.Time // when this replica got it

	owner    socketID      // the server socket whose application has it or asked to hand it off
	entry    *list.Element // its place in the queue
	deadline time.Time     // when it waited long enough
	place    *placement    // while a place is looked for

	handedOff bool       // it was served by an application before
	from      netip.Addr // whose
	failed    netip.Addr // the target of the handoff that it is back from
	failedErr error      // and what went wrong

	mobile   bool // it is known to have Mobile IPv6
	immobile bool // it is known to have none
	relayed  bool // it came here relayed: no home test is needed to hand it on
	bound    bool // its route was optimised, or is being
	ordered  bool // somebody waits for its being handed off
	finished bool // nothing will come from it or reach it any more
	clear    bool // clear its binding when it is closed
}

func (cl *client) ends() ends { return ends{cl.local, cl.remote} }

// reason says why a place is looked for.
type reason uint8

const (
	connected reason = iota // it connected
	overdue                 // the local application did not take it in time
	asked                   // its application asked to hand it off
	commanded               // an operator did, before an application took it
)

// placement is the search for the replica that serves a client next.
type placement struct {
	why      reason
	explicit netip.Addr          // the only target, if the application chose one
	excluded map[netip.Addr]bool // tried, or not wanted
	tries    int
	target   netip.Addr // the one being tried, or tried last
	err      error      // what the last one said

	nonblocking bool // the application waits only for the first target
	answered    bool // the application has its answer and forgot the client
	canceled    bool // the application does not want it any more
}

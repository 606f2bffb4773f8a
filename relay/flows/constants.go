package flows

import "time"

const (
	// MaxLifetime is what is asked for at the home agent, if the home registration
	// does not ask for less: short, for a home agent that was restarted is told
	// anew only by a refresh.
	MaxLifetime = 60 * time.Second
	// maxFlows bounds the flow bindings of one contact address here. The numbers of
	// all must fit in one Binding Update with a few new ones; further connections
	// stay relayed.
	maxFlows = 256
	// maxOctets is how long the flow options of one update may be: with headers the
	// packet stays below the least MTU of IPv6.
	maxOctets = 1100
	// summaryOctets and flowOctets are what a Flow Summary with n numbers and one
	// Flow Identification take, padding included.
	summaryOctets = 4
	flowOctets    = 42

	// collect is for how long new flows are collected before they are registered.
	collect = 50 * time.Millisecond
	// trust is for how long the contact node's word about the home agent counts.
	trust = 20 * time.Second
	// askAgain is when it is asked again that could not be, declined when it is that
	// said no; and registrations that failed are tried again after askAgain, and
	// after twice as long each time, up to longest.
	askAgain = 5 * time.Second
	longest  = 5 * time.Minute
	declined = 30 * time.Second
	// askTimeout bounds asking it.
	askTimeout = 2 * time.Second
	// farewell bounds waiting for the home agent's last answer.
	farewell = time.Second

	tries   = 3 // transmissions of an update
	resyncs = 3 // of the sequence number
	// otherNumbers is how many flow identifiers are tried that others have already.
	otherNumbers = 8
)

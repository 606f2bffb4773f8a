package framework

import "net/netip"

// action is something that core wants done. Those with a comment "→" report
// back by the named method of core.
type action interface{ isAction() }

type (
	// askPolicy → selected
	askPolicy struct {
		key     key
		policy  string
		view    View
		exclude map[netip.Addr]bool
	}
	// probe does the home test ahead → probed
	probe struct{ key key }
	// move hands the client off → moved
	move struct {
		key    key
		target netip.Addr
	}
	// immobile tells the anycast side that a client has no Mobile IPv6.
	immobile struct{ client netip.Addr }
	// report ends the waiting for an order's outcome.
	report struct {
		key key
		err error
	}
	// vacated tells the anycast side that a client has no connection here any more.
	vacated struct{ client netip.Addr }
	// ended tells the anycast side that a connection is being closed: what is unsent
	// still goes out.
	ended struct {
		ends
		others bool // the client has others here
	}
	// cancelWork ends the running probe or move early.
	cancelWork struct{ key key }
	// deliver gives the client to the oldest Accept of a server socket.
	deliver struct {
		key    key
		socket socketID
	}
	// bind optimises the client's route in the background.
	bind struct{ key key }
	// fallBack takes a client's packets off the short cut.
	fallBack struct{ client netip.Addr }
	// closeConn closes the connection: in order, or with a reset if the
	// application said so → closed
	closeConn struct {
		key   key
		abort bool
	}
	// clearBinding removes the binding of a client address.
	clearBinding struct{ client netip.Addr }
	// forget drops what is kept of a client that is elsewhere or over.
	forget struct{ key key }
	// answer ends the application's wait for its handoff. With an error the
	// client is the application's again.
	answer struct {
		key key
		err error
	}
	// placed tells that a client that connected found its first place, so the
	// next may be accepted.
	placed struct{ key key }
	// replicaFailed tells the policy.
	replicaFailed struct {
		policy string
		target netip.Addr
		err    error
	}
	// observe tells the operator.
	observe struct{ event Event }
)

func (askPolicy) isAction()     {}
func (probe) isAction()         {}
func (move) isAction()          {}
func (immobile) isAction()      {}
func (report) isAction()        {}
func (vacated) isAction()       {}
func (ended) isAction()         {}
func (cancelWork) isAction()    {}
func (deliver) isAction()       {}
func (bind) isAction()          {}
func (fallBack) isAction()      {}
func (closeConn) isAction()     {}
func (clearBinding) isAction()  {}
func (forget) isAction()        {}
func (answer) isAction()        {}
func (placed) isAction()        {}
func (replicaFailed) isAction() {}
func (observe) isAction()       {}

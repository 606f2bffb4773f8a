package anycast

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vanycast/vanycast/mipv6"
)

// Errors that errors.Is finds.
var (
	// ErrNoMobileIPv6: the client does not speak Mobile IPv6: it answered a test
	// with an ICMPv6 parameter problem, or not at all.
	ErrNoMobileIPv6 = errors.New("client has no Mobile IPv6")
	// ErrNoHomeTest: no home keygen token could be had: there is no contact node,
	// or it could not be reached, or it could not help.
	ErrNoHomeTest = errors.New("no home test")
	// ErrTimeout: the tries are used up without an answer.
	ErrTimeout = errors.New("no answer")
	// ErrUntouched: the operation ended before any Binding Update was sent, so the
	// client knows nothing of it. It stands beside the reason: errors.Is finds both.
	ErrUntouched = errors.New("the client was not told anything")
	// ErrBusy: another operation about the same client is under way.
	ErrBusy = errors.New("another operation is under way")
	// ErrSuperseded: a later operation about the same client took this one's place.
	ErrSuperseded = errors.New("superseded by a later operation")
	// ErrBlocked: packets with extension headers are dropped on the way to the client
	// or from it (RFC 9098). It stands beside ErrNoMobileIPv6.
	ErrBlocked = errors.New("packets with extension headers do not arrive")
	// ErrCannotFallBack: without the short cut the client's packets would not come here.
	ErrCannotFallBack = errors.New("connections of this host cannot be relayed")
	// ErrClosed: the address or the node was closed.
	ErrClosed = errors.New("closed")
	// ErrTableFull: as many clients are known as may be.
	ErrTableFull = errors.New("too many clients")
	// ErrExists: the contact address is on this node already.
	ErrExists = errors.New("contact address exists already")
	// ErrNotBound: the client is not bound to this replica.
	ErrNotBound = errors.New("the client is not bound here")
	// ErrNotCeded: the other replica did not take the client's binding.
	ErrNotCeded = errors.New("binding not taken")
	// ErrNotContactNode: this replica is not the contact node of that address.
	ErrNotContactNode = errors.New("not the contact node")
)

// errSilent is ErrNoMobileIPv6 of a client that answers no test at all: it may
// also be away, so this is remembered for less long.
var errSilent = fmt.Errorf("%w: it answers no test", ErrNoMobileIPv6)

// SequenceError says that a Binding Update's number was not greater than the
// last one accepted (status 135, RFC 6275 §6.1.8): another replica has told the
// client, or the home agent, in the meantime.
type SequenceError struct {
	Peer netip.Addr
	Last uint16 // the last number that the peer accepted
}

func (e *SequenceError) Error() string {
	return fmt.Sprintf("sequence number out of window: %v has accepted %d", e.Peer, e.Last)
}

// StatusError is a refusal in a Binding Acknowledgement (RFC 6275 §6.1.8).
type StatusError struct {
	Peer   netip.Addr
	Status mipv6.Status
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("%v refused the binding: %v (status %d)", e.Peer, e.Status, uint8(e.Status))
}

// OpError says which operation failed, on what.
type OpError struct {
	Op      string     // "bind", "start", …
	Contact netip.Addr // the contact address
	Client  netip.Addr // invalid for operations about the address alone
	Err     error
}

func (e *OpError) Error() string {
	if !e.Client.IsValid() {
		return fmt.Sprintf("anycast: %s %v: %v", e.Op, e.Contact, e.Err)
	}
	return fmt.Sprintf("anycast: %s client %v of %v: %v", e.Op, e.Client, e.Contact, e.Err)
}

// Unwrap gives the reason.
func (e *OpError) Unwrap() error { return e.Err }

// LeftError says what another host still holds for this replica after Close, and why
// it was not taken back. It ends with its lifetime.
type LeftError struct{ Err error }

func (e *LeftError) Error() string { return "not taken back: " + e.Err.Error() }

// Unwrap gives the reason.
func (e *LeftError) Unwrap() error { return e.Err }

// left marks a reason, if there is one.
func left(err error) error {
	if err == nil {
		return nil
	}
	return &LeftError{err}
}

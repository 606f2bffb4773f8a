package relay

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vanycast/vanycast/mipv6"
)

// Errors that errors.Is finds.
var (
	// ErrUnsent: no anchor can have got the update, so nobody but us knows of it.
	ErrUnsent = errors.New("the contact node was not told anything")
	// ErrNoAnchor: no contact node is known, or none of those asked is one.
	ErrNoAnchor = errors.New("no contact node relays")
	// ErrNoContact: the contact address is not on this node.
	ErrNoContact = errors.New("no such contact address")
	// ErrNotRelayed: the client has no connection that is relayed from here.
	ErrNotRelayed = errors.New("no connection of the client is relayed")
	// ErrUnsupported: this host's data plane cannot relay connections.
	ErrUnsupported = errors.New("the data plane cannot relay")
	// ErrNotOwner: a replica wants to hand over a connection that another one has.
	ErrNotOwner = errors.New("the connection is another replica's")
	// ErrTableFull: as many connections are known as may be.
	ErrTableFull = errors.New("too many relayed connections")
	// ErrExists: the connection is known already, and is this replica's own.
	ErrExists = errors.New("the connection is this replica's own")
	// ErrTimeout: the time is over without an answer.
	ErrTimeout = errors.New("no answer")
	// ErrClosed: the node was closed.
	ErrClosed = errors.New("closed")
	// ErrMalformed: a message of a peer that is not what it should be.
	ErrMalformed = errors.New("malformed message")
)

// SequenceError says that an update's number was not greater than the last one
// accepted: another replica has registered the connection in the meantime.
type SequenceError struct {
	Anchor netip.Addr
	Last   uint16 // the last number that the anchor accepted
}

func (e *SequenceError) Error() string {
	return fmt.Sprintf("sequence number out of window: %v has accepted %d", e.Anchor, e.Last)
}

// StatusError is another refusal of an anchor.
type StatusError struct {
	Anchor netip.Addr
	Status mipv6.Status
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("%v refused to relay: %v (status %d)", e.Anchor, e.Status, uint8(e.Status))
}

// OpError says which operation failed, on what.
type OpError struct {
	Op   string // "start", "reclaim", …
	Conn Conn
	Err  error
}

func (e *OpError) Error() string { return fmt.Sprintf("relay: %s %v: %v", e.Op, e.Conn, e.Err) }

// Unwrap gives the reason.
func (e *OpError) Unwrap() error { return e.Err }

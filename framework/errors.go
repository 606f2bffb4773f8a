package framework

import (
	"errors"
	"fmt"
	"net/netip"
)

var (
	// ErrClosed: the service or the server socket is closed.
	ErrClosed = errors.New("framework: closed")
	// ErrNoTarget: the policy has no replica left that could take the client.
	ErrNoTarget = errors.New("framework: no replica to hand the client to")
	// ErrShared: the client's address has another connection here, the binding,
	// which is one per address, would move both, and this host cannot have one of
	// them relayed.
	ErrShared = errors.New("framework: another connection of the same client address is served here")
	// ErrNotAsked: an application has the client, and does not take requests to
	// hand it off.
	ErrNotAsked = errors.New("framework: its application takes no requests to hand it off")
	// ErrUnknownReplica: the target is not in the service's list of replicas.
	ErrUnknownReplica = errors.New("framework: not a replica of this service")
	// ErrUnknownClient: the application does not have that client.
	ErrUnknownClient = errors.New("framework: no such client here")
	// ErrFinished: the client's connection is over, in both directions or by a
	// reset.
	ErrFinished = errors.New("framework: the connection is over")
	// ErrUnknownPolicy: no distribution policy of that name.
	ErrUnknownPolicy = errors.New("framework: no such distribution policy")
	// ErrNotAdoptable: the descriptor is not a connection of the contact
	// address.
	ErrNotAdoptable = errors.New("framework: not a connection of the contact address")
)

// HandoffError: a client stayed where it is. It wraps the reason, so that
// errors.Is and errors.As see handoff.RefusedError, handoff.ErrNoMobileIPv6,
// ErrNoTarget and so on.
type HandoffError struct {
	Client netip.AddrPort
	Target netip.Addr // the last one tried; zero if none was
	Err    error
}

// Error names the client, the target and the reason.
func (e *HandoffError) Error() string {
	if !e.Target.IsValid() {
		return fmt.Sprintf("handoff of %s: %v", e.Client, e.Err)
	}
	return fmt.Sprintf("handoff of %s to %s: %v", e.Client, e.Target, e.Err)
}

// Unwrap gives the reason.
func (e *HandoffError) Unwrap() error { return e.Err }

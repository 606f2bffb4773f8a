package vanycast

import (
	"context"
	"errors"
	"net/netip"

	"github.com/vanycast/vanycast/api/wire"
)

// Errors; those of the net package (net.ErrClosed, os.ErrDeadlineExceeded) are
// returned where a net.TCPConn would return them.
var (
	// ErrHandedOff: the client is served by another replica now, or comes
	// through Accept again. Nothing can be done with this Conn any more.
	ErrHandedOff = errors.New("vanycast: client was handed off")
	// ErrDaemonGone: the session with the daemon ended. Clients go on being
	// served, but none is accepted or handed off; listen again.
	ErrDaemonGone = errors.New("vanycast: session with the daemon ended")
	// ErrStateTooLong: the state is longer than MaxState.
	ErrStateTooLong = errors.New("vanycast: state too long")
	// ErrInHandoff: another Handoff of the same Conn is under way.
	ErrInHandoff = errors.New("vanycast: another handoff is under way")

	// ErrBare: NetConn was called, so the client cannot be handed off.
	ErrBare = errors.New("vanycast: bare connection is in use")

	// What a HandoffError may be.

	// ErrNoTarget: the policy has no replica that could take the client.
	ErrNoTarget = errors.New("vanycast: no replica to hand the client to")
	// ErrUnknownReplica: the target is not one of the service's replicas.
	ErrUnknownReplica = errors.New("vanycast: not a replica of the service")
	// ErrUnreachable: the target could not be reached, or was lost.
	ErrUnreachable = errors.New("vanycast: replica not reached")
	// ErrRefused: the target refused the client.
	ErrRefused = errors.New("vanycast: replica refused the client")
	// ErrNoMobileIPv6: the client has no Mobile IPv6 and cannot be told of its
	// new server.
	ErrNoMobileIPv6 = errors.New("vanycast: client has no Mobile IPv6")
	// ErrShared: the client's address has another connection at this replica,
	// a handoff would move the traffic of both, and this host cannot relay one.
	ErrShared = errors.New("vanycast: client has another connection here")
	// ErrGone: the client is not here any more and the handoff was not
	// confirmed: its connection is over, or another replica has it.
	ErrGone = errors.New("vanycast: client is gone")
)

// MaxState is the longest state that travels with a client, in bytes.
const MaxState = wire.MaxState

// HandoffError says why a client could not be handed off. Unless it is ErrGone,
// the client is served on here.
type HandoffError struct {
	Target netip.Addr // the replica tried last; zero if none was
	Code   string     // of package api/wire
	Text   string     // the daemon's words
}

// Error gives the daemon's words, which name the target.
func (e *HandoffError) Error() string { return "vanycast: " + e.Text }

// Is makes errors.Is work with this package's errors.
func (e *HandoffError) Is(target error) bool {
	is, known := codes[wire.Code(e.Code)]
	return known && is == target
}

var codes = map[wire.Code]error{
	wire.CodeNoTarget:       ErrNoTarget,
	wire.CodeUnknownReplica: ErrUnknownReplica,
	wire.CodeUnreachable:    ErrUnreachable,
	wire.CodeRefused:        ErrRefused,
	wire.CodeNoMobileIPv6:   ErrNoMobileIPv6,
	wire.CodeShared:         ErrShared,
	wire.CodeGone:           ErrGone,
	wire.CodeFinished:       ErrGone,
	wire.CodeUnknownClient:  ErrGone,
	wire.CodeClosed:         ErrDaemonGone,
	wire.CodeCanceled:       context.Canceled,
}

func handoffError(f *wire.Failure) error {
	if f == nil {
		return nil
	}
	return &HandoffError{Target: f.Target, Code: string(f.Code), Text: f.Text}
}

package tcpcp

import (
	"errors"
	"strings"
)

// What went wrong, for errors.Is. Where the kernel gave a reason it is wrapped
// beside these, so errors.Is(err, syscall.EPERM) works as well.
var (
	// ErrState: the connection is in no state that can be moved: only
	// ESTABLISHED, CLOSE_WAIT, FIN_WAIT1 and FIN_WAIT2 can. Thaw it.
	ErrState = errors.New("connection state cannot be moved")
	// ErrUnsupported: not a plain TCP socket over IPv6 with global addresses.
	ErrUnsupported = errors.New("not a movable TCP socket")
	// ErrUrgent: urgent data is unread. Thaw, let it be read, try again.
	ErrUrgent = errors.New("urgent data is unread")
	// ErrUnstable: segments were still being processed after several tries.
	ErrUnstable = errors.New("connection does not hold still")
	// ErrTooLarge: the queues hold more than MaxQueues.
	ErrTooLarge = errors.New("queues too large")
	// ErrExists: the same four-tuple exists on this host already, perhaps as a
	// frozen socket in a Graveyard.
	ErrExists = errors.New("connection exists on this host")
	// ErrNoRoute: this host has no route to the peer.
	ErrNoRoute = errors.New("no route to the peer")
	// ErrNoRoom: the queues do not fit into the buffers allowed here.
	ErrNoRoom = errors.New("queues do not fit into the socket buffers")
	// ErrFinished: the Frozen or Inserted was given up before.
	ErrFinished = errors.New("endpoint was given up already")
	// ErrFormat: the bytes are no endpoint, or the endpoint is not one that a
	// kernel can have.
	ErrFormat = errors.New("malformed endpoint")
	// ErrVersion: the endpoint was written by an incompatible version.
	ErrVersion = errors.New("unknown endpoint version")
)

// Error is a step of a move that failed: what was tried, on which connection,
// and why. Err is the kernel's reason (a syscall.Errno) or one of the errors
// above; Kind, if not nil, is one of the errors above that Err amounts to.
type Error struct {
	Op    string    // freeze, extract, thaw, forget, insert, activate, abort
	Call  string    // the system call and option, or the check
	Tuple FourTuple // the connection; zero if not known yet
	Kind  error
	Err   error
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("tcpcp: ")
	b.WriteString(e.Op)
	if e.Tuple.valid() {
		b.WriteString(" ")
		b.WriteString(e.Tuple.String())
	}
	if e.Call != "" {
		b.WriteString(": ")
		b.WriteString(e.Call)
	}
	if e.Kind != nil {
		b.WriteString(": ")
		b.WriteString(e.Kind.Error())
	}
	if e.Err != nil {
		b.WriteString(": ")
		b.WriteString(e.Err.Error())
	}
	return b.String()
}

// Unwrap makes errors.Is and errors.As see both the kind and the reason.
func (e *Error) Unwrap() []error {
	var errs []error
	if e.Kind != nil {
		errs = append(errs, e.Kind)
	}
	if e.Err != nil {
		errs = append(errs, e.Err)
	}
	return errs
}

// callError is a failed system call, before the step and the connection are
// known to whoever reports it.
type callError struct {
	call string
	err  error
}

func (e *callError) Error() string { return e.call + ": " + e.err.Error() }
func (e *callError) Unwrap() error { return e.err }

// wrap makes err an *Error of the step op on the connection t.
func wrap(op string, t FourTuple, err error) error {
	if err == nil {
		return nil
	}
	var done *Error
	if errors.As(err, &done) {
		return err
	}
	var c *callError
	if errors.As(err, &c) {
		return &Error{Op: op, Call: c.call, Tuple: t, Err: c.err}
	}
	return &Error{Op: op, Tuple: t, Err: err}
}

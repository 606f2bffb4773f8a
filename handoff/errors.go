package handoff

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vanycast/vanycast/peer"
)

var (
	// ErrGone: the client is not here any more though the handoff was not
	// acknowledged: its TCP connection is finished, or the acceptor has it, or
	// may have it and nobody can be asked. Client.FD is -1.
	ErrGone = errors.New("handoff: client is gone")
	// ErrUnreachable: the target could not be reached; the client is served on
	// here. It is peer.ErrUnreachable.
	ErrUnreachable = peer.ErrUnreachable
	// ErrUntouched: a Binder's Start failed before any Binding Update was sent.
	ErrUntouched = errors.New("handoff: no Binding Update was sent")
	// ErrBusy: another handoff of the same client is under way here. All of a
	// client's traffic with a contact address moves at once, so two of its
	// connections cannot move to different replicas.
	ErrBusy = errors.New("handoff: another handoff of this client is under way")
	// ErrClosed: the agent is closed.
	ErrClosed = errors.New("handoff: closed")
	// ErrNoContact: the contact address is not one of this replica's.
	ErrNoContact = errors.New("handoff: contact address is not served here")
	// ErrNoMobileIPv6: the client has no Mobile IPv6, so it cannot be told of
	// its new server. Binder implementations return it (wrapped).
	ErrNoMobileIPv6 = errors.New("handoff: client has no Mobile IPv6")
)

// Reason says why a target refused a client.
type Reason uint8

// The values are on the wire; a new one goes to the end.
const (
	ReasonUnspecified   Reason = iota // none of the others, see the text
	ReasonNoService                   // no service of that name, or another contact address
	ReasonNoApplication               // no application listens
	ReasonQueueFull                   // the application does not accept fast enough
	ReasonDraining                    // the replica is leaving
	ReasonBusy                        // too many handoffs at once
	ReasonMalformed                   // the message could not be read
	ReasonVersion                     // a version of the message that the target does not know
	ReasonInsert                      // the TCP endpoint could not be inserted
	ReasonNoMobileIPv6                // the client has no Mobile IPv6
	ReasonBind                        // return routability or the Binding Update failed
	ReasonActivate                    // the inserted endpoint could not be started
	ReasonAborted                     // the donor asked to stop
	ReasonUnknown                     // the target does not know of this handoff (it restarted)
	reasons                           // how many there are
)

var reasonNames = [reasons]string{
	"unspecified", "no such service", "no application listens", "queue full", "draining", "busy", "malformed message", "unknown version",
	"endpoint not inserted", "client has no Mobile IPv6", "client not bound", "endpoint not activated", "aborted", "handoff unknown",
}

// String gives the reason in words.
func (r Reason) String() string {
	if r < reasons {
		return reasonNames[r]
	}
	return fmt.Sprintf("reason %d", uint8(r))
}

// RefusedError: the target refused the client, who is served on here. Another
// target may be tried. An Admit function returns it too, Target left zero, to
// say the reason to the donor.
type RefusedError struct {
	Target netip.Addr
	Reason Reason
	Text   string // more of it in words, may be empty
}

// Error names the target, the reason and the text.
func (e *RefusedError) Error() string {
	s := "handoff: refused"
	if e.Target.IsValid() {
		s += " by " + e.Target.String()
	}
	s += ": " + e.Reason.String()
	if e.Text != "" {
		s += ": " + e.Text
	}
	return s
}

// Is makes errors.Is(err, ErrNoMobileIPv6) true where that is the reason.
func (e *RefusedError) Is(target error) bool {
	return target == ErrNoMobileIPv6 && e.Reason == ReasonNoMobileIPv6
}

// targeted completes a refusal.
func targeted(err error, target netip.Addr) error {
	var refused *RefusedError
	if errors.As(err, &refused) && !refused.Target.IsValid() {
		refused.Target = target
	}
	return err
}

// maxText bounds what is told of an error on the wire, in bytes.
const maxText = 512

// refusal makes the reason that is sent to the donor out of any error.
func refusal(err error, otherwise Reason) *RefusedError {
	var r *RefusedError
	if errors.As(err, &r) {
		return r
	}
	if errors.Is(err, ErrNoMobileIPv6) {
		otherwise = ReasonNoMobileIPv6
	}
	text := err.Error()
	if len(text) > maxText {
		text = text[:maxText]
	}
	return &RefusedError{Reason: otherwise, Text: text}
}

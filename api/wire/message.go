package wire

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"time"
)

// Kind says what a message is.
type Kind string

// What an application sends.
const (
	// KindAccept: N more clients are wanted.
	KindAccept Kind = "accept"
	// KindWithdraw: N fewer clients are wanted. Some may be on their way.
	KindWithdraw Kind = "withdraw"
	// KindUnlisten: no more clients are wanted for ever; those that the application
	// has stay.
	KindUnlisten Kind = "unlisten"
	// KindReturn: the Client was not looked at; the next one who accepts gets it.
	KindReturn Kind = "return"
	// KindClose: the Client is to be closed, with a reset if Abort; Clear says
	// whether its binding goes too.
	KindClose Kind = "close"
	// KindHandoff: the Client, with the frame's state, goes to Target, or where the
	// policy says. Answer: Result, after the first target is known if
	// Nonblocking, else when it is over.
	KindHandoff Kind = "handoff"
	// KindCancel: a Handoff that is waited for is not wanted any more. Its Result
	// comes all the same.
	KindCancel Kind = "cancel"
	// KindPrepare: the Client will be handed off to Target soon. It stays, and
	// nothing changes for it. Answer: Prepared, with its Tag.
	KindPrepare Kind = "prepare"
	// KindAdopt: the frame's descriptor is a connection of the contact address and
	// shall be a client, with the frame's state. Answer: Adopted, with its Tag.
	KindAdopt Kind = "adopt"
)

// What the daemon sends.
const (
	// KindDelivered: the frame's descriptor is a client, with its state.
	KindDelivered Kind = "client"
	// KindResult: the handoff of Client is over or on its way; or it failed: Failure
	// says why, and the frame's descriptor is the client again. A failure
	// without a descriptor: the client is not there any more.
	KindResult Kind = "result"
	// KindPrepared: the target is ready for a while, or Failure says why not.
	KindPrepared Kind = "prepared"
	// KindAdopted: Client is the new client's name, or Failure says why not.
	KindAdopted Kind = "adopted"
	// KindOrder: an operator wants Client at Target. The application hands it off
	// soon, or it stays. Only for those that said in their ListenRequest that they
	// take these.
	KindOrder Kind = "order"
	// KindFault: the application broke the protocol, see Failure; the session ends.
	KindFault Kind = "fault"
)

// Message is the JSON of a frame. Which fields matter depends on Kind.
type Message struct {
	Kind   Kind   `json:"kind"`
	Client uint64 `json:"client,omitempty"` // its name in this session
	Tag    uint64 `json:"tag,omitempty"`
	N      int    `json:"n,omitempty"`

	Target      netip.Addr `json:"target,omitzero"`
	Nonblocking bool       `json:"nonblocking,omitempty"`
	Abort       bool       `json:"abort,omitempty"`
	Clear       *bool      `json:"clear,omitempty"`

	ID        uint64         `json:"id,omitempty"` // its name everywhere, as /v1/clients shows it
	Service   string         `json:"service,omitempty"`
	Local     netip.AddrPort `json:"local,omitzero"`
	Remote    netip.AddrPort `json:"remote,omitzero"`
	HandedOff bool           `json:"handed_off,omitempty"`
	From      netip.Addr     `json:"from,omitzero"` // the replica that handed it off
	Since     time.Time      `json:"since,omitzero"`
	Failure   *Failure       `json:"failure,omitempty"` // also of a client that is back from a handoff
}

// Code says why something failed.
type Code string

// The codes.
const (
	CodeFailed         Code = "failed" // none of the others
	CodeNoTarget       Code = "no-target"
	CodeNoMobileIPv6   Code = "no-mobile-ipv6"
	CodeShared         Code = "shared" // another connection of the client's address is served here
	CodeRefused        Code = "refused"
	CodeUnreachable    Code = "unreachable"
	CodeUnknownReplica Code = "unknown-replica"
	CodeUnknownClient  Code = "unknown-client"
	CodeGone           Code = "gone"     // the client is not here any more
	CodeFinished       Code = "finished" // its connection is over
	CodeCanceled       Code = "canceled"
	CodeClosed         Code = "closed"    // the service ends
	CodeNotAsked       Code = "not-asked" // its application takes no requests
	CodeNotAdoptable   Code = "not-adoptable"
	CodeProtocol       Code = "protocol"
)

// Failure says what failed and why.
type Failure struct {
	Code   Code       `json:"code"`
	Target netip.Addr `json:"target,omitzero"` // the replica tried last
	Text   string     `json:"text"`
}

// carries tells whether a frame of a kind may have a descriptor and a state.
var carries = map[Kind]struct{ file, state bool }{
	KindAccept: {}, KindWithdraw: {}, KindUnlisten: {}, KindReturn: {}, KindClose: {}, KindCancel: {}, KindPrepare: {}, KindPrepared: {}, KindAdopted: {}, KindOrder: {}, KindFault: {},
	KindHandoff:   {state: true},
	KindAdopt:     {file: true, state: true},
	KindDelivered: {file: true, state: true},
	KindResult:    {file: true},
}

// ParseMessage reads the JSON of a frame whose state is stateLength bytes long,
// and checks what can be checked without a descriptor. Errors wrap ErrFrame.
func ParseMessage(b []byte, stateLength int) (*Message, error) {
	m := new(Message)
	if err := json.Unmarshal(b, m); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFrame, err)
	}
	c, known := carries[m.Kind]
	switch {
	case !known:
		return nil, fmt.Errorf("%w: unknown kind %q", ErrFrame, m.Kind)
	case stateLength > 0 && !c.state:
		return nil, fmt.Errorf("%w: %s with a state of %d bytes", ErrFrame, m.Kind, stateLength)
	case (m.Kind == KindAccept || m.Kind == KindWithdraw) && (m.N < 1 || m.N > MaxCredits):
		return nil, fmt.Errorf("%w: %s of %d clients", ErrFrame, m.Kind, m.N)
	case m.Kind == KindFault && m.Failure == nil:
		return nil, fmt.Errorf("%w: fault without a failure", ErrFrame)
	}
	return m, nil
}

package handoff

// EventKind is what happened to a machine.
type EventKind uint8

// The events.
const (
	EventStart  EventKind = iota + 1
	EventDone             // the action under way succeeded
	EventFailed           // it failed: Err; of a call: the outcome is unknown
	EventUnsent           // the call never left: Err
	EventAnswer           // the other side answered: Outcome
	EventTaken            // reclaiming: the client is bound to the acceptor; halting: it was heard
	EventTick             // the deadline is there
	EventCancel           // donor: whoever wanted the handoff waits no more: Err
	EventAbort            // acceptor: the donor asks to stop
	EventGiveUp           // this replica is closing
)

// Event is what Step takes.
type Event struct {
	Kind    EventKind
	Err     error
	Outcome Outcome
	// Dead: of EventUnsent: the target's host says that nobody listens there, so
	// the acceptor's process is no more.
	Dead bool
	// Speaks, of EventDone: of ActionFreeze: the acceptor may be heard through us;
	// of ActionInsert: we may be heard through the donor.
	Speaks bool
}

// ActionKind is what a machine wants done.
type ActionKind uint8

// The actions. Each but ActionWait, ActionStop and ActionEnd ends with EventDone
// or EventFailed, those of the donor that call with EventAnswer, EventFailed or
// EventUnsent, ActionReclaim and ActionHalt perhaps with EventTaken.
const (
	ActionOffer    ActionKind = iota + 1 // donor: reach the target and offer the client
	ActionFreeze                         // donor: from now on what comes for the client goes to the acceptor, in ModeSeamless
	ActionExtract                        // donor: the TCP endpoint and the anycast mark
	ActionSend                           // donor: the request
	ActionAsk                            // donor: what became of it
	ActionReclaim                        // donor: a Binding Update with the acceptor's number
	ActionHalt                           // donor: the acceptor is not heard any more; was it?
	ActionWait                           // donor: nothing until the deadline
	ActionThaw                           // donor: and what comes for the client stays here
	ActionBind                           // donor: bind the client anew, whatever its number
	ActionRelease                        // donor: let the client go
	ActionAdmit                          // acceptor: can it be taken
	ActionInsert                         // acceptor: the endpoint, frozen
	ActionStart                          // acceptor: return routability and the Binding Update
	ActionStop                           // acceptor: end ActionStart early; it still reports
	ActionActivate                       // acceptor
	ActionDeliver                        // acceptor: to the application
	ActionSever                          // acceptor: end what was delivered, in silence
	ActionAbandon                        // acceptor: take the endpoint away; if Touched the client may come all the same
	ActionEnd                            // Err of the donor, Outcome of the acceptor
)

var actionNames = [...]string{"", "offer", "freeze", "extract", "send", "ask", "reclaim", "halt", "wait", "thaw", "bind", "release",
	"admit", "insert", "start", "stop", "activate", "deliver", "sever", "abandon", "end"}

// String names the action; records name the phases so.
func (k ActionKind) String() string { return actionNames[k] }

// Action is what Step returns.
type Action struct {
	Kind    ActionKind
	Abort   bool // ActionAsk: and stop it
	Touched bool // ActionAbandon
	Outcome Outcome
	Err     error
}

func do(k ActionKind) []Action { return []Action{{Kind: k}} }

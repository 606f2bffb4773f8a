package handoff

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"time"

	"github.com/vanycast/vanycast/peer"
)

// Caller is the replicas' secure channel; *peer.Node is one.
type Caller interface {
	Handle(peer.Kind, peer.Handler)
	Call(ctx context.Context, to netip.Addr, kind peer.Kind, req []byte) ([]byte, error)
}

// Binder is versatile anycast for one connection; anycast.Connection is one
// through an adapter: what it says here of a client's binding is, for one without
// Mobile IPv6, the connection's registration with who relays it. Its methods are
// safe for concurrent use.
type Binder interface {
	// Alone tells that this connection is moved and not the client's others: it
	// is relayed. Once asked, that stays so.
	Alone() bool
	// Immobile tells that the client is known to have no Mobile IPv6.
	Immobile() bool
	// Begin, at the donor, says that a handoff begins, and End that it is over. An
	// error that wraps ErrBusy says that the client is being moved otherwise; End is
	// not called then.
	Begin(ctx context.Context) error
	End()
	// Mark is what the acceptor needs to bind the client in our place, encoded:
	// the last sequence number, the home keygen token if fresh.
	Mark(client netip.Addr) ([]byte, error)
	// Preview is the mark as it would be now. It changes nothing here.
	Preview(client netip.Addr) ([]byte, error)
	// Prepare does at the acceptor all of Start that the client does not notice:
	// return routability, with what is of use in the mark. A Start soon after
	// it has only the Binding Update to send. Errors are as Start's.
	Prepare(ctx context.Context, client netip.Addr, mark []byte) error
	// Ready is when Start may send its Binding Update at the earliest: the
	// donor serves the client until then.
	Ready(client netip.Addr) time.Time
	// Start tells the client that its peer is here now: return routability and
	// a Binding Update with the number after the mark's. On nil the client
	// sends to this replica, and what we send takes the optimised route. An
	// error that does not wrap ErrUntouched means that the client may be bound
	// here; one of a client that has no Mobile IPv6 wraps ErrNoMobileIPv6.
	// Start ends soon after ctx does, and nothing of it is sent later; nothing to a
	// client after ctx's deadline, also where this host stood still. A client may be
	// told again with a greater number: another than the mark's is the acceptor's.
	Start(ctx context.Context, client, donor netip.Addr, mark []byte) error
	// Finish forgets the binding here: the client is elsewhere.
	Finish(client netip.Addr)
	// Reclaim tells the client the same as the acceptor would have, with the
	// same number: nil if the client accepted it. An error wraps ErrTaken if
	// the client refused because the acceptor had used it. It is called when
	// the acceptor's Start is over.
	Reclaim(ctx context.Context, client netip.Addr, mark []byte) error
	// Bind binds a client that is served here and not known to be bound,
	// whatever number it takes.
	Bind(ctx context.Context, client netip.Addr) error
	// Expect, at the acceptor, keeps what comes for the connection, also what
	// the donor sends on, until Open or Undo, and within bounds of its own. It is
	// called at the offer, and again when the donor has frozen the connection. On
	// an error it is not kept.
	Expect(donor netip.Addr, frozen bool) error
	// Open lets in what was kept: the endpoint lives. It does nothing where
	// nothing is expected.
	Open(donor netip.Addr) error
	// Divert, at the donor, sends what comes for the connection to the acceptor
	// until Undo or, for what is late, a while after Left.
	Divert(acceptor netip.Addr) error
	Left()
	// CanSpeak, at the acceptor, tells that the connection of this mark can live
	// before Start: after Through what it sends goes through the donor, until Open.
	CanSpeak(mark []byte) bool
	Through(donor netip.Addr) error
	// Halt, at the donor, ends that the acceptor is heard through us, and tells
	// whether it was; then it is heard on. On an error nobody knows.
	Halt() (heard bool, err error)
	// Undo ends Expect and Divert, also those of an earlier handoff; what was
	// kept is dropped.
	Undo() error
	// Hold drops all that comes from or goes to the client, in silence, until
	// Unhold or Start.
	Hold(client netip.Addr) error
	Unhold(client netip.Addr) error
}

// ErrTaken: a Binder's Reclaim was refused by the client for its sequence number.
var ErrTaken = errors.New("handoff: the client is bound to the other side")

// TCP moves endpoints out of and into this host's kernel; NewKernel makes the
// real one. Its methods are safe for concurrent use.
type TCP interface {
	// Freeze stops the connection; fd stays the caller's until Thaw. divert is
	// called when nothing leaves any more and what comes is still taken; if it
	// fails nothing is frozen.
	Freeze(fd int, divert func() error) (Frozen, error)
	// Insert makes a frozen connection out of an encoded endpoint.
	Insert(endpoint []byte) (Inserted, error)
	// Bury keeps a frozen connection until the given time, so that it swallows
	// late segments, and closes it then.
	Bury(f Frozen, until time.Time) error
	// Exhume gives a buried connection back, for its like comes to this host
	// again.
	Exhume(local, remote netip.AddrPort) (Frozen, bool)
	// Guard keeps the means to end a live connection that others have too.
	Guard(fd int) (Guard, error)
	// Expire closes what is due and says when to call again, zero for never.
	Expire(now time.Time) (time.Time, error)
}

// Frozen is a connection at the donor.
type Frozen interface {
	Extract() ([]byte, error)
	Thaw() error
	Forget() error // closes the descriptor given to Freeze, in silence
}

// Inserted is a connection at the acceptor.
type Inserted interface {
	// Activate makes it live. open is called when it can receive and has sent
	// nothing yet.
	Activate(open func() error) (fd int, err error)
	Abort() error // in silence
}

// Guard is a live connection at the acceptor that may turn out not to be its own.
type Guard interface {
	Sever() error // ends it in silence, for all that have it
	Close() error // leaves it alone
}

// Deps is what an Agent works with. Logger, Observe and the numbers may be zero.
type Deps struct {
	// Self is this replica's care-of address.
	Self  netip.Addr
	Peers Caller
	// Anycast gives the Binder of a connection, false if its contact address is
	// not served here.
	Anycast func(contact, client netip.AddrPort) (Binder, bool)
	TCP     TCP
	// Modes says how the clients of a service are handed off from here, and at
	// most to here; nil: ModeBest.
	Modes func(service string) Mode
	// Admit says whether a client can be taken: nil, or why not, best as a
	// *RefusedError. It is asked for the offer and again when the client comes,
	// and does not wait.
	Admit func(o Offer) error
	// Serves tells whether a connection is served here: a donor that offers it
	// does not have it. Nil: never.
	Serves func(contact, client netip.AddrPort) bool
	// Deliver gets a client that is served here from now on. It must not wait
	// for the application.
	Deliver func(*Client)
	// Observe is told of each handoff when it is over. It must not block.
	Observe func(Record)
	Logger  *slog.Logger

	Timing Timing
	// MaxHandoffs bounds how many handoffs may be under way at once, in each
	// role; default 1024.
	MaxHandoffs int
	// MaxOutcomes bounds how many handoffs an acceptor remembers, each for ten
	// minutes; when it cannot remember more it takes none. Default 262144.
	MaxOutcomes int
	// Records is how many handoffs Recent tells of; default 256.
	Records int
}

func (d Deps) withDefaults() Deps {
	d.Timing = d.Timing.withDefaults()
	if d.MaxHandoffs <= 0 {
		d.MaxHandoffs = 1024
	}
	if d.MaxOutcomes <= 0 {
		d.MaxOutcomes = 1 << 18
	}
	if d.Records <= 0 {
		d.Records = 256
	}
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	if d.Modes == nil {
		d.Modes = func(string) Mode { return ModeBest }
	}
	if d.Serves == nil {
		d.Serves = func(_, _ netip.AddrPort) bool { return false }
	}
	if d.Observe == nil {
		d.Observe = func(Record) {}
	}
	return d
}

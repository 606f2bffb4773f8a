package anycast

import (
	"time"

	"github.com/vanycast/vanycast/mipv6"
)

// Our own defaults and limits; those of RFC 6275 are in package mipv6.
const (
	// DefaultHomeLifetime is asked for at the home agent.
	DefaultHomeLifetime = 600 * time.Second
	// DefaultBindingLifetime is asked for at clients: the most that return
	// routability may give (RFC 6275 §5.2.6).
	DefaultBindingLifetime = mipv6.MaxRRBindingLifetime
	// DefaultRegisterTimeout bounds Active.
	DefaultRegisterTimeout = 10 * time.Second
	// DefaultHandoffTimeout bounds Bind, Start, Reclaim, Probe and Clear.
	DefaultHandoffTimeout = 8 * time.Second
	// DefaultMaxClients bounds what is remembered of clients, in all.
	DefaultMaxClients = 65536

	// testTries is how often each Init message of return routability is sent: at
	// 0, 1 and 3 seconds, the end at 7, within DefaultHandoffTimeout.
	testTries = 3
	// updateTries is how often a Binding Update to a client is sent.
	updateTries = 4
	// registerTries is how often the home agent is asked; the time of Active ends
	// before.
	registerTries = 5
	// confirmTries is how often it is asked whether we are contact node still; the
	// next such question comes soon.
	confirmTries = 2
	// refreshTries is the same for an active address: with the back-off at its
	// longest, half an hour.
	refreshTries = 60

	// registerResyncs is how often Active takes the number that the home agent
	// tells. Told once, the number is right unless another replica registers at
	// the same moment; then that one has won.
	registerResyncs = 1

	// maxWaiters bounds who waits for one client's home test.
	maxWaiters = 64

	// maxRefusals bounds the answers to malformed messages, a second.
	maxRefusals = 10
	// maxPassing bounds the refresh requests that are passed on at once.
	maxPassing = 64

	// refusalMemory is for how long a client is remembered that said it has no
	// Mobile IPv6, silenceMemory one that said nothing at all.
	refusalMemory = 60 * time.Second
	silenceMemory = 10 * time.Second

	// blockedMemory is for how long a client is remembered whose path drops extension
	// headers: paths change, but each try costs the client a second or more.
	blockedMemory = 10 * time.Minute

	// probeTimeout is how long a client is waited for that says nothing, if it can
	// be relayed: the second Home Test Init goes after a second.
	probeTimeout = 1500 * time.Millisecond

	// callGrace is how much longer than an operation about a client the answer to a
	// call may take that has one done.
	callGrace = time.Second
	// maxFollowing bounds the bindings that follow their clients' connections at one
	// time.
	maxFollowing = 64

	// markHold is for how long after Mark the client's binding is not refreshed:
	// the acceptor decides about the next number in this time.
	markHold = 30 * time.Second
	// refreshRetry is the pause before a refresh that failed is tried again, or
	// before it is asked again whether an unused binding deserves one.
	refreshRetry = 5 * time.Second
	// registerRetry is the pause before a home agent is asked again that refused
	// to go on with a registration.
	registerRetry = mipv6.MaxBindackTimeout
	// idleUse is for how long a client counts as used after its last packet.
	idleUse = 2 * time.Minute
)

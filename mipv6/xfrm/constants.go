package xfrm

// From linux/xfrm.h and linux/ipv6.h.
const (
	msgNewState     = 0x10 // XFRM_MSG_NEWSA
	msgDelState     = 0x11
	msgGetState     = 0x12
	msgNewPolicy    = 0x13
	msgDelPolicy    = 0x14
	msgGetPolicy    = 0x15
	msgUpdatePolicy = 0x19
	msgUpdateState  = 0x1a
	msgReport       = 0x20

	groupReport = 6 // XFRMNLGRP_REPORT

	attrEncryption = 2  // XFRMA_ALG_CRYPT
	attrTemplate   = 5  // XFRMA_TMPL
	attrReplay     = 10 // XFRMA_REPLAY_VAL
	attrSource     = 13 // XFRMA_SRCADDR
	attrCareOf     = 14 // XFRMA_COADDR
	attrLastUsed   = 15 // XFRMA_LASTUSED, seconds
	attrPolicyType = 16 // XFRMA_POLICY_TYPE
	attrAEAD       = 18 // XFRMA_ALG_AEAD
	attrMark       = 21 // XFRMA_MARK

	attrAuthentication = 20 // XFRMA_ALG_AUTH_TRUNC
	attrSetMark        = 29 // XFRMA_SET_MARK

	typeSub = 1 // XFRM_POLICY_TYPE_SUB

	modeTunnel            = 1 // XFRM_MODE_TUNNEL
	modeRouteOptimisation = 2 // XFRM_MODE_ROUTEOPTIMIZATION

	flagWildReceive = 8 // XFRM_STATE_WILDRECV

	infinite = ^uint64(0) // XFRM_INF
)

// direction of a policy.
type direction uint8

const (
	in direction = iota
	out
	forward
)

func (d direction) String() string { return [...]string{"in", "out", "fwd"}[d] }

// action of a policy.
type action uint8

const (
	allow action = iota
	block
)

func (a action) String() string { return [...]string{"allow", "block"}[a] }

// protocol of a state: the extension header that it makes or takes.
type protocol uint8

const (
	hao    protocol = 60 // destination options: the Home Address option
	route2 protocol = 43 // routing header, type 2
)

func (p protocol) String() string {
	switch p {
	case hao:
		return "hao"
	case route2:
		return "route2"
	default:
		return "other"
	}
}

const (
	protocolMobility = 135 // a Mobility Header in a socket that is for them
	protocolRaw      = 255 // a whole packet of ours (IPPROTO_RAW)

	typeBindingUpdate          = 5 // of a Mobility Header
	typeBindingAcknowledgement = 6
)

// ours marks states and templates (reqid), and stands in the priority of
// policies, so that a new process finds what a dead one left.
const ours = 145

// The same of ESP (esp.go): reqids from the first on, and two priorities.
const (
	espFirst    = 0x76610000
	espLast     = espFirst + 1<<16
	espPriority = ours*1000 + 900 // and the one after it
)

// Priorities of policies: the first that matches decides.
const (
	firstPriority    = ours*1000 + iota*10
	priorityLink     // what only a link may carry does not leave
	priorityMobility // Mobility Headers ignore routes and holds
	priorityHeld
	priorityHome // Mobility Headers with a Home Address option
	priorityRoute
	lastPriority
)

// priorityConnection is that of a connection with a route of its own: before its
// client's.
const priorityConnection = priorityRoute - 5

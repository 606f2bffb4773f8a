package dataplane

// Names of the counters (Plane.Counters), in packets unless said. A backend that
// cannot count something leaves its name out.
const (
	// CounterTunnelledOut and CounterTunnelledIn: between a contact address and its
	// home agent, encapsulated.
	CounterTunnelledOut = "tunnelled_out"
	CounterTunnelledIn  = "tunnelled_in"
	// CounterOptimisedOut and CounterOptimisedIn: between a contact address and a
	// client, by Home Address option and type 2 routing header.
	CounterOptimisedOut = "optimised_out"
	CounterOptimisedIn  = "optimised_in"
	// CounterHeldOut and CounterHeldIn: dropped because the flow is held.
	CounterHeldOut = "held_out"
	CounterHeldIn  = "held_in"
	// CounterRelayedOut and CounterRelayedIn: between a contact address and another
	// replica that relays for us, encapsulated.
	CounterRelayedOut = "relayed_out"
	CounterRelayedIn  = "relayed_in"
	// CounterRelayToPeer and CounterRelayFromPeer: of a flow that another replica
	// serves: what came for it, and what it sent.
	CounterRelayToPeer   = "relay_to_peer"
	CounterRelayFromPeer = "relay_from_peer"
	// CounterDirectOut: sent as it was, from the contact address.
	CounterDirectOut = "direct_out"
	// CounterKept: set aside because the flow is held and keeps, or is paused.
	// CounterKeptReleased: of these, delivered or sent on. CounterKeptDropped: of these,
	// given up because there was no room or no route came.
	CounterKept         = "kept"
	CounterKeptReleased = "kept_released"
	CounterKeptDropped  = "kept_dropped"
	// CounterSteered: SYNs kept for a decision. CounterSteerOverflow: SYNs of steered
	// ports that were delivered here because there was no room for more.
	CounterSteered       = "steered"
	CounterSteerOverflow = "steer_overflow"
	// CounterCorrespondentOut and CounterCorrespondentIn: by a binding cache entry.
	CounterCorrespondentOut = "correspondent_out"
	CounterCorrespondentIn  = "correspondent_in"
	// CounterMobilityIn: Mobility Headers that came with a Home Address option.
	CounterMobilityIn = "mobility_in"
	// CounterHomeAgentOut and CounterHomeAgentIn: between the home agent and a
	// registered care-of address.
	CounterHomeAgentOut = "home_agent_out"
	CounterHomeAgentIn  = "home_agent_in"
	// CounterHomeAgentFlow: of CounterHomeAgentOut, what a flow binding claimed.
	CounterHomeAgentFlow = "home_agent_flow"
	// CounterMobilityTaken: Mobility Headers to a home address with Protect that were
	// given to the signalling.
	CounterMobilityTaken = "mobility_taken"

	// CounterDropContactGone: something still sent from a contact address that was
	// removed.
	CounterDropContactGone = "drop_contact_gone"
	// CounterDropDestination: a contact address sent what only a link may carry
	// (multicast, link-local, neighbour discovery), or a link-local source wrote to a
	// registered home address.
	CounterDropDestination = "drop_destination"
	// CounterDropNative: came to a contact address neither by tunnel nor by routing
	// header.
	CounterDropNative = "drop_native"
	// CounterDropUnknownHome: a Home Address option that no binding covers.
	CounterDropUnknownHome = "drop_unknown_home"
	// CounterDropHomeInvalid: a Home Address option that holds no unicast routable
	// address (RFC 6275 §9.3.1).
	CounterDropHomeInvalid = "drop_home_invalid"
	// CounterDropRoom: the kernel could not make room for a header.
	CounterDropRoom = "drop_room"
	// CounterDropSize: with its new header the packet would be longer than IPv6 can say.
	CounterDropSize = "drop_size"
	// CounterDropCongestion: the tunnel marked congestion on a packet that cannot
	// carry the mark (RFC 6040 §4.2).
	CounterDropCongestion = "drop_congestion"
	// CounterDropUnprotected: a Mobility Header came through the tunnel in clear from
	// a home address with Protect.
	CounterDropUnprotected = "drop_unprotected"
	// CounterDropForeignTunnel: IPv6-in-IPv6 for or from a contact address, from
	// neither its home agent nor a replica that was declared for that flow.
	CounterDropForeignTunnel = "drop_foreign_tunnel"
	// CounterDropForwarded: came from elsewhere, and would have left with a contact
	// address as source.
	CounterDropForwarded = "drop_forwarded"
	// CounterDropNotOwner: this host sent in a flow that another replica serves.
	CounterDropNotOwner = "drop_not_owner"
	// CounterDropHopLimit: relayed too often.
	CounterDropHopLimit = "drop_hop_limit"
	// CounterDropRelaySize: too long to be relayed; its sender is told.
	CounterDropRelaySize = "drop_relay_size"
	// CounterEventsLost counts events that found no room.
	CounterEventsLost = "events_lost"

	// CounterTooBigIn: Packet Too Big messages about rewritten packets.
	CounterTooBigIn = "too_big_in"
	// CounterTooBigInvalid: of these, those that quote nothing of ours or say an
	// impossible size.
	CounterTooBigInvalid = "too_big_invalid"
	// CounterTooBigTold: of these, those that were told to the local transport or to
	// the route.
	CounterTooBigTold = "too_big_told"
	// CounterMirrored: times that the routes were brought in line with the host's own.
	CounterMirrored = "mirrored"
)

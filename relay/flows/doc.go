// Package flows ends the detour through the contact node where the home agent can
// do without it: the replica that serves a connection of a client without Mobile
// IPv6 registers its care-of address at the home agent beside the contact node's
// (RFC 5648), and the connection as a flow binding to it (RFC 6089, RFC 6088). The
// home agent then tunnels the connection's packets straight here.
//
// Nothing waits for that. The connection is relayed (package relay) from the first
// moment, its owner is who the relay's register says, and when a flow binding goes
// or is refused it is relayed again: the contact node never stopped being ready to.
//
// Whether the home agent can do it, the contact node knows: it registers with a
// Binding Identifier and finds it in the acknowledgement, or not. A replica asks it
// (peer.KindFlows) before it registers: to a home agent that does not know the
// option its Binding Update would look like the contact node's own.
//
// A flow binding's priority number counts down while the relay's sequence number
// counts up. So the home agent, which lets the least one count, sends the connection
// to its newest owner in whichever order updates arrive.
//
// A Binding Update always says all flows of this replica and contact address, for
// the home agent removes what it does not: new ones in full, known ones by number.
// Changes are collected while MAX_UPDATE_RATE keeps one from being sent.
//
// core has no I/O and no clock; Node is the loop around it.
package flows

// Package vanycast is what a server imports to be one replica of a distributed
// service: a group of servers that share one address, the contact address, and
// among which a client's TCP connection can be handed over at any moment, without
// the client or its TCP noticing.
//
// A server of today changes its one Listen line:
//
//	ln, err := vanycast.Listen(ctx, "echo")
//
// and goes on as before; net/http serves on it unchanged. The clients that
// Listener.Accept gives were distributed to this replica by the service's policy,
// or handed off by an application like this one at another replica. A Conn is a
// net.Conn. Its data path is the bare TCP socket: what it does more is Handoff,
// and the State that travels with the client.
//
// The package talks to the daemon, vanycastd, over a UNIX socket, and needs no
// privilege but to be allowed to use that.
package vanycast

// Package framework is one replica's half of a distributed service (thesis,
// chapters 4 and 5): it accepts the clients that reach the contact address
// here, distributes them by a policy, keeps those that are this replica's in a
// queue until an application takes them, and hands them off when the
// application says so.
//
//	            accept                      Admit, Deliver (package handoff)
//	              │                              │
//	              ▼        this replica          ▼
//	   policy ─ place ───────────────────────► queue ─► ServerSocket.Accept
//	              │                              │  ▲
//	another one   ▼                 not in time  │  │ policy chose this replica,
//	          handoff.Agent ◄────────────────────┘  │ or the handoff failed
//	              ▲                                 │
//	              └──────── ServerSocket.Handoff ◄──┘
//
// Nothing here waits for an application or a policy. All decisions are in core,
// which is pure: each of its methods is an event with its time, and returns
// actions. Service owns a core and lets it have one event at a time, on the
// goroutine that has it; it carries the actions out, the long ones (slow policies,
// home test, handoff, closing) each in a goroutine that reports back as an event. The scenarios in testdata replay events and
// show the actions.
//
// A client is one TCP connection. Its binding, and so its route, belongs to the
// client's address: moving one connection moves the traffic of all connections
// of that address. Therefore a connection of a client that has another one here is
// handed off alone: the binding stays, and this replica relays the connection
// (package relay). That is a detour, so one that comes to join another stays with
// it. Where the host cannot relay, a handoff is refused with ErrShared.
package framework

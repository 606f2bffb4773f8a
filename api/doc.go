// Package api is the daemon's side of the local API, which package api/wire
// describes: HTTP and JSON on a UNIX socket for the operator, and on the same
// socket the sessions in which applications get their clients as file
// descriptors.
//
// Who may use it: root, the daemon's own user, and members of one configured
// group. The socket's mode says so, and the kernel's word on who connected
// (SO_PEERCRED) is checked as well. GET never changes anything.
//
// A session that breaks the protocol is told why and ends; its clients are closed
// in order, as when an application dies. Nothing else is touched by it.
package api

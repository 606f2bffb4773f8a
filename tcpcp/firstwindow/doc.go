// Package firstwindow chooses the congestion window that a TCP connection begins
// with.
//
// A connection that was moved here has segments on their way already, and the ten
// that a new one may send (RFC 6928) are less than these: it would be silent until
// most of them are acknowledged. No socket option changes that; a route's initcwnd
// does, for all that take the route, and so does an eBPF program that sees a
// connection become established, which TCP_REPAIR's connect makes it, too. This is
// the program: it looks what was set for the socket, and does nothing to one for
// which nothing was.
//
// The program is attached to the process's own cgroup by a link, which goes with the
// process, however it ends; what was set goes with the socket.
package firstwindow

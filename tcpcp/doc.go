// Package tcpcp takes a live IPv6 TCP endpoint out of one kernel and puts it
// into another, through TCP_REPAIR, without the peer noticing: no reset and no
// stray segment at any step, not a byte lost, doubled or reordered.
//
//	f, err := tcpcp.Freeze(fd)        // donor: nothing in, nothing out, no timer kills it
//	e, err := f.Extract()             // donor: all that the connection is
//	b, err := e.MarshalBinary()       // ... travels ...
//	i, err := tcpcp.Insert(e)         // acceptor: the same socket, still frozen
//	                                  // (the caller switches the route to this host)
//	fd, err := i.Activate()           // acceptor: it is live
//	err = f.Forget()                  // donor: gone, silently; or f.Thaw(): goes on as if nothing was
//
// # Freezing
//
// TCP_REPAIR alone does not freeze a socket: it goes on acknowledging, and its
// timers go on sending. What freezes it is an XFRM policy "block" on the socket
// itself, outgoing before incoming. Before both, an acknowledgement that the kernel
// delays is sent, or a peer that says no more would send its last segments again; that
// needs TCP_REPAIR. TCP_USER_TIMEOUT and keepalive would kill the silent socket, so
// they are off while it is frozen.
//
// # Who owns which file descriptor
//
// The descriptor given to Freeze stays the caller's until the Frozen ends: the
// caller neither closes it nor uses it meanwhile, and its reader and writer are
// stopped. Thaw gives it back as it was. Forget closes it. If Freeze fails it is
// the caller's as before, and live. Other descriptors of the same socket (the
// application's duplicate) may stay open: they see the endpoint frozen, and
// after Forget an aborted connection.
//
// An Inserted owns its descriptor. Activate gives it to the caller: non-blocking,
// close-on-exec, ready for os.NewFile or net.FileConn. Abort closes it silently.
// If Insert fails there is nothing left to close.
//
// # What a donor must still hear
//
// A late segment that meets no socket but a listener draws a reset. So the donor
// keeps the frozen socket a while (Graveyard): it swallows them. It has to be
// forgotten before the same connection is inserted on this host again. It
// would also swallow the SYN of a client that takes the same port for its next
// connection; Openings tells when to let go of it.
//
// # Often
//
// A move is about fifty system calls, both ends together (benchmark has the
// floor), and need not make garbage: ExtractInto reuses memory for the queues,
// AppendBinary for the encoding, and Parse leaves the queues where they are.
//
// # Lost by nature
//
// ECN and the round-trip estimate start anew, and what the peer sent out of order
// is sent again. So does the congestion window, unless the caller can choose what a
// socket begins with (InsertWith, package firstwindow). A peer's FIN that was received makes
// the inserted socket readable to its end, though the kernel calls its state
// ESTABLISHED. A socket with urgent data unread, with an upper-layer protocol
// (kernel TLS) or of IPv4 is refused.
package tcpcp

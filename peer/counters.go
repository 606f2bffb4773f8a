package peer

import "sync/atomic"

// counters are totals since the node was made.
type counters struct {
	accepted, dialed                                  atomic.Uint64
	refusedNotAllowed, refusedHandshake, refusedFlood atomic.Uint64
	dialFailures                                      atomic.Uint64
	calls, unreachable, lost, served                  atomic.Uint64
	bytesIn, bytesOut, protocolErrors                 atomic.Uint64
}

// Counters are totals since the node was made, by name.
func (n *Node) Counters() map[string]uint64 {
	c := &n.count
	return map[string]uint64{
		"connections_accepted": c.accepted.Load(),          // peers that connected and were let in
		"connections_dialed":   c.dialed.Load(),            // peers that this node connected to
		"dial_failures":        c.dialFailures.Load(),      // connections that did not come about
		"refused_not_allowed":  c.refusedNotAllowed.Load(), // sources that are no replica's
		"refused_handshake":    c.refusedHandshake.Load(),  // wrong or no certificate, no TLS 1.3, no hello
		"refused_flood":        c.refusedFlood.Load(),      // too many handshakes at once
		"calls":                c.calls.Load(),             // requests of this node
		"calls_unreachable":    c.unreachable.Load(),       // of these, never sent
		"calls_lost":           c.lost.Load(),              // of these, sent and not answered
		"requests_served":      c.served.Load(),            // the peers' requests
		"bytes_in":             c.bytesIn.Load(),           // of frames
		"bytes_out":            c.bytesOut.Load(),          // of frames
		"protocol_errors":      c.protocolErrors.Load(),    // connections closed for a peer's breach
	}
}

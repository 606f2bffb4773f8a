package anycast

import "net/netip"

// The packets of a connection while it is handed off (package relay, seams): none
// is lost, though the client learns only then where its peer lives.

// CanKeep reports whether this replica can take and give connections so.
func (a *Address) CanKeep() bool { return a.node.relay.CanKeep(a.home) }

// Expect, at the acceptor, keeps what comes for the connection until Open or Undo,
// for half a minute at most: the donor, once it has frozen it, sends on what it gets.
// An error means that this cannot be done here.
func (c *Connection) Expect(donor netip.Addr, frozen bool) error {
	return c.error("expect", c.a.node.relay.Expect(c.conn, donor, frozen))
}

// CanSpeak, at the acceptor, reports whether the connection of this mark can live
// before Start has told anybody: what it sends goes through the donor until Open. A
// client that is bound does not hear us so: it takes packets with the Home Address
// option from the care-of address in its binding cache only (RFC 6275 §9.3.1), and
// that changes in a moment that nobody but the client knows.
func (c *Connection) CanSpeak(m Mark) bool { return m.Relayed && c.a.node.relay.CanSpeak(c.conn) }

// Through is Open for a connection that speaks through the donor.
func (c *Connection) Through(donor netip.Addr) error {
	return c.error("through", c.a.node.relay.Through(c.conn, donor))
}

// Open lets in what was kept: the connection lives here. The donor's late packets
// are taken for a while.
func (c *Connection) Open(donor netip.Addr) error {
	return c.error("open", c.a.node.relay.Open(c.conn, donor))
}

// Divert, at the donor, sends what comes for the connection to the acceptor, until
// Undo or, for what is late, a while after Left.
func (c *Connection) Divert(acceptor netip.Addr) error {
	return c.error("divert", c.a.node.relay.Divert(c.conn, acceptor))
}

// Halt, at the donor, ends that the acceptor is heard through us, and tells whether
// it was: then it is heard on.
func (c *Connection) Halt() (heard bool, err error) {
	heard, err = c.a.node.relay.Halt(c.conn)
	return heard, c.error("halt", err)
}

// Left says that the acceptor has the connection.
func (c *Connection) Left() { c.a.node.relay.Left(c.conn) }

// Undo ends Expect and Divert; what was kept is dropped.
func (c *Connection) Undo() error { return c.error("undo", c.a.node.relay.Undo(c.conn)) }

package vanycast

import "net"

// NetConn gives the bare TCP connection inside, for what only a *net.TCPConn can
// do: io.Copy between two of them leaves the bytes in the kernel (splice). From
// then on the client stays here: Handoff returns ErrBare. The Conn is to be
// closed all the same. Nil is returned if the client is not here any more.
func (c *Conn) NetConn() net.Conn {
	var bare net.Conn
	// An error leaves it nil, which is all there is to say.
	_ = c.do("bare", func(t *net.TCPConn) error {
		c.mu.Lock()
		defer c.mu.Unlock()
		// A handoff that began just now has the connection.
		if c.phase == here {
			c.bare, bare = true, t
		}
		return nil
	})
	return bare
}

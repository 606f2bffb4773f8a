package main

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/netip"
)

// client is what a worker needs of a *vanycast.Conn.
type client interface {
	net.Conn
	State() []byte
	SetState([]byte)
	HandoffAsync(target netip.Addr) error
	HandedOff() bool
	HandoffErr() error
}

// worker serves one client at a time, for ever.
type worker struct {
	id     int
	name   string // of the replica, as the client is told
	silent bool
	log    *log.Logger
	orders *orders
}

// run serves the clients that accept gives until it gives an error.
func (w *worker) run(accept func() (client, error)) error {
	for {
		c, err := accept()
		if err != nil {
			return err
		}
		w.logf("Accepted client %v", c.RemoteAddr())
		if err := w.serve(c); err != nil {
			w.logf("Error serving %v, closing: %v", c.RemoteAddr(), err)
		}
	}
}

func (w *worker) logf(format string, args ...any) {
	w.log.Printf("Worker %d: "+format, append([]any{w.id}, args...)...)
}

// serve handles one client until it leaves, is handed off or fails.
func (w *worker) serve(c client) error {
	given := false
	defer w.orders.forget(c)
	defer func() {
		if !given {
			c.Close() // the daemon sees to an orderly end
		}
	}()
	s := session{silent: w.silent}
	if c.HandedOff() {
		w.logf("Client is handed off")
	} else {
		w.logf("Client is not served before")
	}
	if err := s.unmarshal(c.State()); err != nil {
		return err
	}
	if err := w.greet(c); err != nil {
		return err
	}

	// One byte at a time: what comes after an 'H' must be left in the kernel,
	// from where it moves with the connection.
	var in [1]byte
	var out []byte
	for {
		if _, err := c.Read(in[:]); err != nil {
			if target, ok := w.orders.take(c, err); ok {
				w.logf("Handing off client to %v, as requested..", target)
				c.SetState(s.marshal())
				if err := c.HandoffAsync(target); err == nil {
					given = true
					return nil
				}
				w.logf(".. not handed off: %v", err)
				continue
			}
			if errors.Is(err, io.EOF) {
				w.logf("Client closed the connection")
				return nil
			}
			return err
		}
		var v verdict
		if out, v = s.feed(out[:0], in[0]); len(out) > 0 {
			if _, err := c.Write(out); err != nil {
				return err
			}
		}
		switch v {
		case handOff:
			w.logf("Nonblocking handing off client..")
			err := w.handOff(c, &s)
			if err == nil {
				given = true
				w.logf(".. nonblocking handoff completed")
				return nil
			}
			w.logf(".. not handed off: %v", err)
			if err := w.sorry(c, err); err != nil {
				return err
			}
		case quit:
			w.logf("Client connection closed upon request")
			return nil
		}
	}
}

// greet says who serves the client now and, if a handoff brought it back here
// instead of elsewhere, why.
func (w *worker) greet(c client) error {
	if why := c.HandoffErr(); why != nil {
		w.logf("Client is back from a handoff that failed: %v", why)
		if err := w.sorry(c, why); err != nil {
			return err
		}
	}
	if w.silent {
		return nil
	}
	_, err := io.WriteString(c, greeting(w.id, w.name))
	return err
}

// sorry tells the client, in one line, why it stays.
func (w *worker) sorry(c client, why error) error {
	if w.silent {
		return nil
	}
	_, err := fmt.Fprintf(c, "\nSorry, I could not hand you over: %s\n", plain(why))
	return err
}

// handOff gives the client away with all that is known of it; the choice of the
// replica is the policy's.
func (w *worker) handOff(c client, s *session) error {
	c.SetState(s.marshal())
	return c.HandoffAsync(netip.Addr{})
}

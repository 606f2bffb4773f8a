package rr

import (
	"fmt"
	"io"
	"net/netip"

	"github.com/vanycast/vanycast/mipv6"
)

// InitiatorConfig describes one run of return routability.
type InitiatorConfig struct {
	Home          netip.Addr // the contact address
	CareOf        netip.Addr // of this replica; not looked at without NeedCareOf
	Correspondent netip.Addr // the client
	Need          Need       // default NeedBoth
	// HomeToken is a home keygen token had beforehand. It is used if still fresh
	// at Start; no Home Test Init is sent then.
	HomeToken *HomeToken
	// Relayed says that somebody else makes the home test: no Home Test Init is
	// sent, the token comes by SetHomeToken.
	Relayed bool
	Tries   int       // transmissions of each Init message; default DefaultTries, at most 16
	Rand    io.Reader // where cookies come from; default crypto/rand.Reader
}

// Send is a message to be sent: no Home Address option, no type 2 routing header
// (RFC 6275 §11.6.1). A Home Test Init leaves from the home address, and so
// through the home agent.
type Send struct {
	Src, Dst netip.Addr
	Message  mipv6.Message
}

// TimeoutError says that the tries are used up.
type TimeoutError struct {
	Missing       Need // what never came
	Correspondent netip.Addr
	Tries         int
}

func (e *TimeoutError) Error() string {
	return fmt.Sprintf("rr: %v with %v: no answer to %d tries", e.Missing, e.Correspondent, e.Tries)
}

// Timeout makes it a timeout in the sense of net.Error.
func (e *TimeoutError) Timeout() bool { return true }

package dataplane

import (
	"errors"
	"fmt"
)

// Features are what a backend can do beyond routes Tunnelled, Optimised and Held
// of whole clients. Declaring what it cannot is ErrUnsupported.
type Features struct {
	Connections bool // flows with ports
	Relay       bool // Relayed, RelayTo and From
	Direct      bool
	Keep        bool // Route.Keep and Pause
	Steer       bool // Contact.Steer and Relays
	FlowTunnels bool // FlowTunneler
}

// FeaturesOf asks a backend; one that does not say has none.
func FeaturesOf(p Plane) Features {
	if f, ok := p.(interface{ Features() Features }); ok {
		return f.Features()
	}
	return Features{}
}

// Change is one of many changes of routes.
type Change struct {
	Flow   Flow
	Route  Route
	Remove bool // RemoveRoute instead of SetRoute
}

// Batcher is a backend that makes many changes in few system calls. It makes
// all that it can, in their order for each flow; the error joins a *ChangeError
// for each that failed.
type Batcher interface {
	SetRoutes([]Change) error
}

// Hearer is a backend that knows whether the peer that a flow was relayed to was
// heard.
type Hearer interface {
	// Heard tells whether anything that the Peer of a RelayTo route sent has gone
	// on since the flow had that route. It is asked when the flow has another one: what
	// is said then stays true. An error is no answer.
	Heard(Flow) (bool, error)
}

// ChangeError says which of many changes failed.
type ChangeError struct {
	Change Change
	Err    error
}

func (e *ChangeError) Error() string {
	return fmt.Sprintf("flow %v: %v: %v", e.Change.Flow, e.Change, e.Err)
}

// Unwrap gives the reason.
func (e *ChangeError) Unwrap() error { return e.Err }

// SetRoutes makes many changes, in one go where the backend can; see Batcher.
func SetRoutes(p Plane, changes []Change) error {
	if b, ok := p.(Batcher); ok {
		return b.SetRoutes(changes)
	}
	var errs []error
	for _, c := range changes {
		var err error
		if c.Remove {
			err = p.RemoveRoute(c.Flow)
		} else {
			err = p.SetRoute(c.Flow, c.Route)
		}
		if err != nil {
			errs = append(errs, &ChangeError{c, err})
		}
	}
	return errors.Join(errs...)
}

// String is what happens to the flow.
func (c Change) String() string {
	if c.Remove {
		return "removed"
	}
	return c.Route.String()
}

package handoff

import (
	"errors"
	"net/netip"
	"sync"

	"github.com/vanycast/vanycast/tcpcp"
)

// openings watches the contact addresses at which connections are buried, so that
// a client which opens its next connection with the port of one that is over is
// not kept waiting by it.
type openings struct {
	graves *tcpcp.Graveyard

	mu      sync.Mutex
	watches map[netip.Addr]*tcpcp.Openings
	failed  bool // told once
}

func newOpenings(graves *tcpcp.Graveyard) *openings {
	return &openings{graves: graves, watches: make(map[netip.Addr]*tcpcp.Openings)}
}

// watch begins to watch an address, if it is not watched. What it cannot watch it
// says once; the connections are buried all the same.
func (o *openings) watch(local netip.Addr) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.watches[local] != nil || o.failed {
		return nil
	}
	w, err := tcpcp.WatchOpenings(local, func(t tcpcp.FourTuple) {
		// The error is that of closing the descriptor: there is no more to do.
		_ = o.graves.Release(t)
	})
	if err != nil {
		o.failed = true
		return err
	}
	o.watches[local] = w
	return nil
}

// settle ends the watches that nothing needs any more.
func (o *openings) settle() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	var errs []error
	for local, w := range o.watches {
		if o.graves.At(local) == 0 {
			errs = append(errs, w.Close())
			delete(o.watches, local)
		}
	}
	return errors.Join(errs...)
}

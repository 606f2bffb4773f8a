package main

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/vanycast/vanycast"
)

// orders are the clients that an operator wants elsewhere. A worker hears of it
// when its Read ends, which is where the state of its client is complete.
type orders struct {
	mu      sync.Mutex
	targets map[net.Conn]netip.Addr
}

// want is what vanycast.WithHandoffRequests calls.
func (o *orders) want(c *vanycast.Conn, target netip.Addr) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if c.SetReadDeadline(time.Unix(1, 0)) == nil {
		o.targets[c] = target
	}
}

// take tells whether this is why a Read ended, and where the client is wanted.
func (o *orders) take(c net.Conn, err error) (target netip.Addr, ok bool) {
	if o == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
		return target, false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if target, ok = o.targets[c]; ok {
		delete(o.targets, c)
		ok = c.SetReadDeadline(time.Time{}) == nil
	}
	return target, ok
}

// forget drops what nobody took.
func (o *orders) forget(c net.Conn) {
	if o != nil {
		o.mu.Lock()
		defer o.mu.Unlock()
		delete(o.targets, c)
	}
}

package cluster

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/vanycast/vanycast/tests/lab"
)

// Handoff is a record of GET /v1/handoffs.
type Handoff struct {
	Client   netip.AddrPort `json:"client"`
	From, To netip.Addr
	Role     string        `json:"role"`
	Mode     string        `json:"mode"`
	Started  time.Time     `json:"started"`
	Gap      time.Duration `json:"gap"`
	Bytes    int           `json:"bytes"`
	Err      string        `json:"error"`
}

// Handoffs are the newest handoffs that the daemon knows of, as donor and as
// acceptor.
func (d *Daemon) Handoffs(ctx context.Context) ([]Handoff, error) {
	var records []Handoff
	err := d.Get(ctx, "/v1/handoffs", &records)
	return records, err
}

// WaitServing waits until an application listens at every replica for the
// service.
func (c *Cluster) WaitServing(ctx context.Context, daemons map[string]*Daemon, service string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readyTimeout, fmt.Errorf("no application of %q at every replica within %v", service, readyTimeout))
	defer cancel()
	for _, name := range c.replicas {
		d := daemons[name]
		if err := lab.WaitFor(ctx, func() error {
			var status map[string]any
			return d.Get(ctx, "/v1/status", &status)
		}); err != nil {
			return err
		}
	}
	return nil
}

package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"

	"github.com/vanycast/vanycast/api/client"
	"github.com/vanycast/vanycast/api/wire"
	"github.com/vanycast/vanycast/tests/lab"
)

// Daemon is a running vanycastd.
type Daemon struct {
	*lab.Process
	Host *lab.Host

	client *client.Client
}

// Start starts the daemon of a host, `vanycastd --config FILE`, and waits
// until it says that it is ready.
func (c *Cluster) Start(ctx context.Context, host string) (*Daemon, error) {
	d, err := c.Launch(host)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, readyTimeout, fmt.Errorf("vanycastd on %s was not ready within %v", host, readyTimeout))
	defer cancel()
	if err := d.WaitReady(ctx); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, d.Tail(20))
	}
	return d, nil
}

// Launch starts the daemon of a host and waits for nothing.
func (c *Cluster) Launch(host string) (*Daemon, error) {
	h := c.Lookup(host)
	opts := []lab.StartOption{lab.LogName(host + "-vanycastd.log")}
	if c.leave {
		opts = append(opts, lab.Leave())
	}
	p, err := h.Start([]string{filepath.Join(c.bin, "vanycastd"), "--config", c.Config(host)}, opts...)
	if err != nil {
		return nil, err
	}
	return &Daemon{Process: p, Host: h, client: client.New(c.Socket(host))}, nil
}

// Get reads a resource of the API, as "/v1/status", into v.
func (d *Daemon) Get(ctx context.Context, path string, v any) error {
	// A connection kept open would outlive the test that made it.
	defer d.client.Close()
	if err := d.client.Get(ctx, path, v); err != nil {
		return fmt.Errorf("on %s: %w", d.Host.Name(), err)
	}
	return nil
}

// HandoffClient hands all connections of a client over to another replica.
func (d *Daemon) HandoffClient(ctx context.Context, who, to netip.Addr) ([]wire.ClientHandoff, error) {
	defer d.client.Close()
	return d.client.HandoffClient(ctx, wire.HandoffRequest{Client: who, To: to})
}

// WaitReady waits until the daemon answers its API; it gives up at once if the
// daemon has ended.
func (d *Daemon) WaitReady(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	return lab.WaitFor(ctx, func() error {
		select {
		case <-d.Done():
			err := errors.New("vanycastd on " + d.Host.Name() + " ended before it was ready")
			cancel(err)
			return err
		default:
		}
		_, err := d.Status(ctx)
		return err
	})
}

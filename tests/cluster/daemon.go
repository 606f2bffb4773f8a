package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"

	"github.com/vanycast/vanycast/tests/lab"
)

// Daemon is a running vanycastd.
type Daemon struct {
	*lab.Process
	Host *lab.Host

	socket string
	client *http.Client
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
	socket := c.Socket(host)
	return &Daemon{Process: p, Host: h, socket: socket, client: overUnix(socket)}, nil
}

// overUnix is an HTTP client for a UNIX socket.
func overUnix(socket string) *http.Client {
	return &http.Client{Transport: &http.Transport{
		// A connection kept open would outlive the test that made it.
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		},
	}}
}

// Get reads a resource of the API, as "/v1/status", into v.
func (d *Daemon) Get(ctx context.Context, path string, v any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://vanycast"+path, nil)
	if err != nil {
		return err
	}
	resp, err := d.client.Do(req)
	if err != nil {
		return fmt.Errorf("GET %s on %s: %w", path, d.Host.Name(), err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err != nil {
		return fmt.Errorf("GET %s on %s: %w", path, d.Host.Name(), err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s on %s: %s: %s", path, d.Host.Name(), resp.Status, strings.TrimSpace(string(body)))
	}
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("GET %s on %s: %w", path, d.Host.Name(), err)
	}
	return nil
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
		var status map[string]any
		return d.Get(ctx, "/v1/status", &status)
	})
}

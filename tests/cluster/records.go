package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vanycast/vanycast/api/wire"
	"github.com/vanycast/vanycast/tests/lab"
)

// Status is the daemon in short.
func (d *Daemon) Status(ctx context.Context) (wire.Status, error) {
	var s wire.Status
	err := d.Get(ctx, wire.PathStatus, &s)
	return s, err
}

// Handoffs are the newest handoffs that the daemon knows of, as donor and as
// acceptor, oldest first.
func (d *Daemon) Handoffs(ctx context.Context) ([]wire.Handoff, error) {
	var records []wire.Handoff
	err := d.Get(ctx, wire.PathHandoffs, &records)
	return records, err
}

// Clients are the connections that the daemon knows of.
func (d *Daemon) Clients(ctx context.Context) ([]wire.Client, error) {
	var clients []wire.Client
	err := d.Get(ctx, wire.PathClients, &clients)
	return clients, err
}

// Service is one service of the daemon's status.
func (d *Daemon) Service(ctx context.Context, name string) (wire.Service, error) {
	s, err := d.Status(ctx)
	if err != nil {
		return wire.Service{}, err
	}
	i := slices.IndexFunc(s.Services, func(v wire.Service) bool { return v.Name == name })
	if i < 0 {
		return wire.Service{}, fmt.Errorf("%s has no service %q", d.Host.Name(), name)
	}
	return s.Services[i], nil
}

// WaitServing waits until one of the replicas is contact node for the service
// and an application listens at every one of these hosts (all replicas if none
// is named).
func (c *Cluster) WaitServing(ctx context.Context, daemons map[string]*Daemon, service string, hosts ...string) error {
	if len(hosts) == 0 {
		hosts = c.replicas
	}
	ctx, cancel := context.WithTimeoutCause(ctx, readyTimeout, fmt.Errorf("%q not served within %v", service, readyTimeout))
	defer cancel()
	return lab.WaitFor(ctx, func() error {
		contact := false
		for name, d := range daemons {
			if !slices.Contains(c.replicas, name) {
				continue
			}
			s, err := d.Service(ctx, service)
			if err != nil {
				return err
			}
			contact = contact || s.ContactNode
			if !s.Listening && slices.Contains(hosts, name) {
				return fmt.Errorf("no application listens at %s", name)
			}
		}
		if !contact {
			return errors.New("no replica is contact node")
		}
		return nil
	})
}

// WaitSteering waits until the contact node has heard of each of these replicas that
// it takes new connections, and of no other.
func (c *Cluster) WaitSteering(ctx context.Context, contactNode *Daemon, hosts ...string) error {
	want := map[netip.Addr]bool{}
	for _, name := range hosts {
		site, _ := lab.SiteOf(name)
		want[site.Addr] = true
	}
	return lab.WaitFor(ctx, func() error {
		var replicas []wire.Replica
		if err := contactNode.Get(ctx, wire.PathReplicas, &replicas); err != nil {
			return err
		}
		for _, r := range replicas {
			if ready := r.Standing == "listening, steered"; !r.Self && ready != want[r.Address] {
				return fmt.Errorf("%v: %q", r.Address, r.Standing)
			}
		}
		return nil
	})
}

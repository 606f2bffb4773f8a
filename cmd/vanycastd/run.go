package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/vanycast/vanycast/api"
	"github.com/vanycast/vanycast/conf"
	"github.com/vanycast/vanycast/mipv6/correspondent"
	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/mipv6/homeagent"
	"github.com/vanycast/vanycast/mipv6/ipsec"
	"github.com/vanycast/vanycast/mipv6/mhsock"
)

// stopTimeout bounds each part of an orderly end: closing the clients, and
// taking back what other hosts hold for us.
const stopTimeout = 5 * time.Second

// host is this host: its roles and what they share.
type host struct {
	cfg     *conf.Config
	log     *slog.Logger
	started time.Time

	plane         dataplane.Plane
	rolePlanes    []*rolePlane // of the roles that listen to its events
	planeKind     conf.DataPlane
	mh            mhsock.Conn
	ipsec         *ipsec.Endpoint     // nil if nothing is protected
	correspondent *correspondent.Role // nil without the role
	homeAgent     *homeagent.Role     // nil without the role
	replica       *replica            // nil without the role
	api           *api.Server
	signalling    signalling
}

// run starts the roles of the configuration and serves until ctx ends; then it
// takes away all that it put on the host.
func run(ctx context.Context, cfg *conf.Config, logger *slog.Logger) (err error) {
	if err := resolveCareOf(cfg); err != nil {
		return err
	}
	d := &host{cfg: cfg, log: logger, started: time.Now()}

	// The parts' loops outlive ctx, and the closing below, which needs them: each
	// ends when its part is closed.
	loops, stopLoops := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stopLoops(nil)

	// What was opened is closed in the reverse order, whatever happens.
	var closers []func() error
	defer func() {
		notifyStopping(logger)
		for i := len(closers) - 1; i >= 0; i-- {
			err = errors.Join(err, closers[i]())
		}
	}()
	closing := func(f func() error) { closers = append(closers, f) }

	var wg sync.WaitGroup
	failed := make(chan error, 16)
	start := func(name string, f func(context.Context) error) (stop func()) {
		ctx, cancel := context.WithCancel(loops)
		done := make(chan struct{})
		wg.Go(func() {
			defer close(done)
			if err := f(ctx); err != nil && ctx.Err() == nil {
				failed <- fmt.Errorf("%s: %w", name, err)
			}
		})
		return func() { cancel(); <-done }
	}

	if d.plane, d.planeKind, err = openPlane(cfg, logger); err != nil {
		return err
	}
	closing(d.plane.Close)
	if err := d.openMobility(closing); err != nil {
		return err
	}
	closing(d.mh.Close)

	// Receiving begins when the roles are there, and ends after them: they take
	// back what they told others, and that is acknowledged.
	stopReceiving := func() {}
	closing(func() error { stopReceiving(); return nil })

	if cfg.Has(conf.RoleCorrespondent) {
		if err := d.openCorrespondent(); err != nil {
			return err
		}
		stop := start("correspondent", d.correspondent.Run)
		closing(func() error { stop(); return nil })
	}
	if cfg.Has(conf.RoleHomeAgent) {
		if err := d.openHomeAgent(); err != nil {
			return err
		}
		stop := start("home agent", d.homeAgent.Run)
		closing(func() error { stop(); return d.homeAgent.Close() })
	}
	if cfg.Has(conf.RoleReplica) {
		if err := d.openReplica(closing, start); err != nil {
			return err
		}
	}
	stopReceiving = d.receive(start)
	stopEvents := start("data plane events", d.planeEvents)
	closing(func() error { stopEvents(); return nil })

	if d.api, err = api.New(api.Config{Socket: cfg.API.Socket, Group: cfg.API.Group, Logger: logger}, d); err != nil {
		return err
	}
	start("api", func(context.Context) error { return d.api.Serve() })
	closing(d.api.Close)
	if d.replica != nil {
		d.replica.publish(d.api)
		stop := start("election", d.replica.elect)
		closing(func() error { stop(); return nil })
		// The clients first: the rest is still needed to end them in order.
		closing(d.replica.closeServices)
		// Before them the contact addresses: the successor relays for us till then.
		closing(d.replica.handOver)
	}

	notifyReady(logger)
	select {
	case <-ctx.Done():
		logger.Info("stopping")
		return nil
	case err := <-failed:
		return err
	}
}

func (d *host) openCorrespondent() (err error) {
	cfg := correspondent.Config{}
	if c := d.cfg.Correspondent; c != nil {
		cfg.MaxBindings = c.MaxBindings
	}
	d.correspondent, err = correspondent.New(cfg, correspondent.Deps{Plane: d.planeFor(), MH: d.mh, Logger: d.log})
	return err
}

// careOf is the address that stands for this host in the status.
func (d *host) careOf() netip.Addr { return d.cfg.Node.CareOf }

package xfrm

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"

	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/mipv6/internal/hostnet"
)

// CleanUp takes away what a process with this data plane left when it died: for
// a host that goes on with another one, whose New knows nothing of it.
func CleanUp(iface string, logger *slog.Logger) (err error) {
	p := &Plane{cfg: Config{Interface: iface, Logger: logger}.withDefaults(), guards: map[netip.Addr]*guard{}, past: map[string]uint64{}}
	p.logger = p.cfg.Logger
	defer func() {
		if err = errors.Join(err, p.release()); err != nil {
			err = fmt.Errorf("xfrm: cleaning up: %w", err)
		}
	}()
	if p.lock, err = hostnet.Lock(); err != nil {
		return err
	}
	if p.conn, err = dial(); errors.As(err, new(*dataplane.MissingError)) {
		return nil // nothing can have been left
	} else if err != nil {
		return err
	}
	if p.host, err = hostnet.Open(iface, p.cfg.RulePriority); err != nil {
		return err
	}
	links, err := p.ourLinks()
	if err != nil {
		return err
	}
	states, err := p.conn.states()
	if err != nil {
		return err
	}
	policies, err := p.conn.policies()
	if err != nil || len(links)+len(states)+len(policies) == 0 {
		return err
	}
	return errors.Join(p.takeOver(), p.closeGuards())
}

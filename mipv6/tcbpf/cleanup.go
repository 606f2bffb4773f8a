package tcbpf

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/vanycast/vanycast/mipv6/internal/hostnet"
)

// CleanUp takes away what a process with this data plane left when it died: for
// a host that goes on with another one, whose New knows nothing of it.
func CleanUp(iface string, logger *slog.Logger) (err error) {
	p := &Plane{cfg: Config{Interface: iface, Logger: logger}.withDefaults()}
	p.logger = p.cfg.Logger
	defer func() {
		if err = errors.Join(err, p.release()); err != nil {
			err = fmt.Errorf("tcbpf: cleaning up: %w", err)
		}
	}()
	if p.lock, err = hostnet.Lock(); err != nil {
		return err
	}
	if p.host, err = hostnet.Open(iface, p.cfg.RulePriority); err != nil {
		return err
	}
	left, err := p.findLeftovers()
	if err != nil {
		return err
	}
	own, _, err := filters(p.host.Netlink, p.host.Link)
	if err != nil || len(own)+len(left.links) == 0 {
		return err
	}
	// The filters last: until then they keep what was a contact address from sending.
	errs := []error{p.host.RemoveLeftovers(left.Leftovers)}
	for _, link := range append(left.links, p.host.Link) {
		errs = append(errs, detach(p.host.Netlink, link))
	}
	return errors.Join(errs...)
}

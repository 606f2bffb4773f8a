package xfrm

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/vanycast/vanycast/mipv6/dataplane"
)

// Probe reports whether this kernel can carry the plane; if not, the error
// is one line that names what is missing. It tries everything in a network
// namespace of its own and changes nothing on the host.
func Probe() error {
	result := make(chan error, 1)
	go func() {
		// Never unlocked: the thread ends with the goroutine, and with it the namespace.
		runtime.LockOSThread()
		result <- probeInNamespace()
	}()
	return <-result
}

func probeInNamespace() error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("xfrm: a network namespace to try in: %w", dataplane.Explain(err, "CONFIG_NET_NS"))
	}
	p, err := New(Config{Interface: "lo"})
	if err != nil {
		return err
	}
	return p.Close()
}

// tryKernel makes what a declaration needs, with addresses that lead nowhere
// (RFC 6666), and takes it away at once: so that New says what is missing, and not
// the first declaration.
func (p *Plane) tryKernel() error {
	at := netip.MustParseAddr
	c := dataplane.Contact{Home: at("100::1"), CareOf: at("100::2"), HomeAgent: at("100::3")}
	r := contactRules(c)
	for _, s := range r.states {
		if _, err := p.conn.do(addState(s), deleteState(s.stateID)); err != nil {
			return dataplane.Explain(err, "CONFIG_IPV6_MIP6")
		}
	}
	_, err := p.conn.do(setPolicy(r.policies[0]), deletePolicy(r.policies[0].policyID))
	if errors.Is(err, unix.EINVAL) { // the answer to a policy type that it does not know
		return &dataplane.MissingError{Option: "CONFIG_XFRM_SUB_POLICY", Err: err}
	}
	if err != nil {
		return err
	}
	d, err := p.useDevice(ends{c.CareOf, c.HomeAgent}, c.Home, replicaEnd)
	return errors.Join(err, p.releaseDevice(d, c.Home))
}

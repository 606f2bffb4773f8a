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
	if err := <-result; err != nil {
		return fmt.Errorf("xfrm: %w", err)
	}
	return nil
}

func probeInNamespace() error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("a network namespace to try in: %w", dataplane.Explain(err, "CONFIG_NET_NS"))
	}
	if err := probeRules(); err != nil {
		return err
	}
	// A plane on lo, with the rest that it needs.
	p, err := New(Config{Interface: "lo"})
	if err != nil {
		return errors.Unwrap(err)
	}
	defer p.Close()
	at := netip.MustParseAddr
	return errors.Join(p.SetContact(dataplane.Contact{
		Home: at("2001:db8::1"), CareOf: at("2001:db8::2"), HomeAgent: at("2001:db8::3"),
	}), p.Close())
}

// probeRules asks for the two things whose refusal needs interpretation.
func probeRules() error {
	c, err := dial()
	if err != nil {
		return err
	}
	defer c.Close()
	r := contactRules(dataplane.Contact{Home: netip.MustParseAddr("2001:db8::1"), CareOf: netip.MustParseAddr("2001:db8::2"), HomeAgent: netip.MustParseAddr("2001:db8::3")})
	for _, s := range r.states {
		if _, err := c.do(addState(s), deleteState(s.stateID)); err != nil {
			return dataplane.Explain(err, "CONFIG_IPV6_MIP6")
		}
	}
	_, err = c.do(setPolicy(r.policies[0]), deletePolicy(r.policies[0].policyID))
	if errors.Is(err, unix.EINVAL) { // the answer to a policy type that it does not know
		return &dataplane.MissingError{Option: "CONFIG_XFRM_SUB_POLICY", Err: err}
	}
	return err
}

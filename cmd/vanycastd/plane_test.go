package main

import (
	"errors"
	"syscall"
	"testing"

	"github.com/vanycast/vanycast/conf"
	"github.com/vanycast/vanycast/mipv6/dataplane"
)

// "auto" prefers the kernel's own Mobile IPv6, and a host that has neither gets
// one line that names what is missing.
func TestChoosePlane(t *testing.T) {
	missing := func(option string) func() error {
		return func() error { return &dataplane.MissingError{Option: option, Err: syscall.ENOENT} }
	}
	works := func() error { return nil }
	noMIP6, noBPF := missing("CONFIG_IPV6_MIP6"), missing("CONFIG_NET_CLS_BPF")
	forbidden := func() error { return syscall.EPERM }
	for _, c := range []struct {
		wanted    conf.DataPlane
		xfrm, bpf func() error
		kind      conf.DataPlane
		err       string
	}{
		{conf.DataPlaneAuto, works, works, conf.DataPlaneXFRM, ""},
		{conf.DataPlaneAuto, noMIP6, works, conf.DataPlaneBPF, ""},
		{conf.DataPlaneAuto, works, noBPF, conf.DataPlaneXFRM, ""},
		{conf.DataPlaneAuto, noMIP6, noBPF, "", "this kernel has neither Mobile IPv6 (CONFIG_IPV6_MIP6) nor what eBPF needs (CONFIG_NET_CLS_BPF)"},
		{conf.DataPlaneAuto, forbidden, forbidden, "", "neither of the two works: operation not permitted; operation not permitted"},
		{conf.DataPlaneXFRM, noMIP6, works, "", `node.dataplane = "xfrm": kernel lacks CONFIG_IPV6_MIP6: no such file or directory`},
		{conf.DataPlaneXFRM, works, works, conf.DataPlaneXFRM, ""},
		{conf.DataPlaneBPF, works, works, conf.DataPlaneBPF, ""},
		{conf.DataPlaneBPF, works, noBPF, "", `node.dataplane = "bpf": kernel lacks CONFIG_NET_CLS_BPF: no such file or directory`},
	} {
		kind, err := choosePlane(c.wanted, c.xfrm, c.bpf)
		if kind != c.kind || (err == nil) != (c.err == "") || err != nil && err.Error() != c.err {
			t.Errorf("%s: %q, %v; want %q, %q", c.wanted, kind, err, c.kind, c.err)
		}
		if err != nil && c.wanted != conf.DataPlaneAuto && !errors.As(err, new(*dataplane.MissingError)) {
			t.Errorf("%s: %v does not wrap the probe's answer", c.wanted, err)
		}
	}
}

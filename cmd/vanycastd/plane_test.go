package main

import (
	"errors"
	"strings"
	"syscall"
	"testing"

	"github.com/vanycast/vanycast/conf"
	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/mipv6/dataplane/planetest"
)

// "auto" prefers the kernel's own Mobile IPv6, and a host that has neither gets
// one line that names what is missing.
func TestChoosePlane(t *testing.T) {
	fails := func(err error) opener {
		return func() (dataplane.Plane, error) { return nil, err }
	}
	missing := func(option string) opener {
		return fails(&dataplane.MissingError{Option: option, Err: syscall.ENOENT})
	}
	works := func() (dataplane.Plane, error) { return planetest.New(), nil }
	noMIP6, noBPF := missing("CONFIG_IPV6_MIP6"), missing("CONFIG_NET_CLS_BPF")
	busy := fails(dataplane.ErrBusy)
	for _, c := range []struct {
		wanted      conf.DataPlane
		kernel, bpf opener
		kind        conf.DataPlane
		err         string
	}{
		{conf.DataPlaneAuto, works, works, conf.DataPlaneXFRM, ""},
		{conf.DataPlaneAuto, noMIP6, works, conf.DataPlaneBPF, ""},
		{conf.DataPlaneAuto, works, noBPF, conf.DataPlaneXFRM, ""},
		{conf.DataPlaneAuto, noMIP6, noBPF, "", "this kernel has neither Mobile IPv6 (CONFIG_IPV6_MIP6) nor what eBPF needs (CONFIG_NET_CLS_BPF): "},
		{conf.DataPlaneAuto, noMIP6, busy, "", dataplane.ErrBusy.Error()},
		// What is not the kernel's lack is no reason to take another.
		{conf.DataPlaneAuto, busy, works, "", dataplane.ErrBusy.Error()},
		{conf.DataPlaneXFRM, noMIP6, works, "", "kernel lacks CONFIG_IPV6_MIP6: "},
		{conf.DataPlaneXFRM, works, works, conf.DataPlaneXFRM, ""},
		{conf.DataPlaneBPF, works, works, conf.DataPlaneBPF, ""},
		{conf.DataPlaneBPF, works, noBPF, "", "kernel lacks CONFIG_NET_CLS_BPF: "},
	} {
		plane, kind, err := choosePlane(c.wanted, c.kernel, c.bpf)
		if kind != c.kind || (plane != nil) != (err == nil) || (err == nil) != (c.err == "") || err != nil && !strings.HasPrefix(err.Error(), c.err) {
			t.Errorf("%s: %q, %v; want %q, %q", c.wanted, kind, err, c.kind, c.err)
		}
		if err != nil && !errors.As(err, new(*dataplane.MissingError)) && !errors.Is(err, dataplane.ErrBusy) {
			t.Errorf("%s: %v does not wrap the reason", c.wanted, err)
		}
	}
}

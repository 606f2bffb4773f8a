package xfrm_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/mipv6/xfrm"
	"github.com/vanycast/vanycast/tests/lab"
)

// How fast optimised flows are declared: each is one state, two policies and, where
// eBPF stands beside, one map entry. The reference is iproute2, which puts the same
// states and policies there from one batch. For measuring:
//
//	go test -run '^$' -bench States -benchtime 10000x ./mipv6/xfrm
func BenchmarkStates(b *testing.B) {
	if err := xfrm.Probe(); errors.As(err, new(*dataplane.MissingError)) {
		b.Skip(err)
	}
	b.Run("plane", func(b *testing.B) {
		replica := benchHost(b)
		var p *xfrm.Plane
		err := replica.Do(func() (err error) { p, err = xfrm.New(xfrm.Config{Interface: "eth0"}); return err })
		if err != nil {
			b.Fatal(err)
		}
		defer func() {
			if err := p.Close(); err != nil {
				b.Error(err)
			}
		}()
		if err := p.SetContact(dataplane.Contact{Home: home, CareOf: careOf, HomeAgent: agent}); err != nil {
			b.Fatal(err)
		}
		b.ResetTimer()
		for i := range b.N {
			if err := p.SetRoute(dataplane.Flow{Home: home, Client: benchClient(i)}, dataplane.Route{Kind: dataplane.Optimised}); err != nil {
				b.Fatal(err)
			}
		}
		b.StopTimer()
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "states/s")
	})
	b.Run("ip", func(b *testing.B) {
		replica := benchHost(b)
		var batch strings.Builder
		for i := range b.N {
			c := benchClient(i)
			fmt.Fprintf(&batch, "xfrm state add src %v dst %v proto hao reqid 145 mode ro coa %v\n", home, c, careOf)
			fmt.Fprintf(&batch, "xfrm policy add src %v/128 dst %v/128 dir out ptype sub priority 145050 tmpl src %v dst %v proto hao reqid 145 mode ro level use\n", home, c, home, c)
			fmt.Fprintf(&batch, "xfrm policy add src %v/128 dst %v/128 dir in ptype sub priority 145050 tmpl src :: dst :: proto route2 reqid 145 mode ro level use\n", c, home)
		}
		file := filepath.Join(b.TempDir(), "batch")
		if err := os.WriteFile(file, []byte(batch.String()), 0o644); err != nil {
			b.Fatal(err)
		}
		b.ResetTimer()
		if _, err := replica.Output(b.Context(), "ip", "-batch", file); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "states/s")
	})
}

// benchHost is a host with a link, a care-of address and a way to everywhere.
func benchHost(b *testing.B) *lab.Host {
	n := lab.New(b)
	replica, other := n.Host("replica"), n.Host("other")
	n.Link(replica, other, lab.Names("eth0", "eth0"))
	replica.Addr("eth0", netip.PrefixFrom(careOf, 64))
	other.Addr("eth0", netip.PrefixFrom(agent, 64))
	replica.Route(netip.MustParsePrefix("::/0"), agent)
	return replica
}

// benchClient is one of many clients.
func benchClient(i int) netip.Addr {
	a := netip.MustParseAddr("2001:db8:a::10").As16()
	binary.BigEndian.PutUint32(a[8:], uint32(i))
	return netip.AddrFrom16(a)
}

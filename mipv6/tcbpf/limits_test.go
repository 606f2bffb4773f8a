package tcbpf_test

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/mipv6/tcbpf"
)

// Tables are bounded; what does not fit is refused and what is there stays.
func TestFull(t *testing.T) {
	replica, _ := newPair(t)
	var p *tcbpf.Plane
	err := replica.Do(func() (err error) {
		p, err = tcbpf.New(tcbpf.Config{Interface: "eth0", MaxRoutes: 2, MaxBindings: 2, MaxTunnels: 2})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := p.SetContact(dataplane.Contact{Home: home, CareOf: careOf, HomeAgent: agent}); err != nil {
		t.Fatal(err)
	}
	address := func(i int) netip.Addr {
		a := netip.MustParseAddr("2001:db8:77::").As16()
		a[15] = byte(i)
		return netip.AddrFrom16(a)
	}
	for name, set := range map[string]func(int) error{
		"flow": func(i int) error {
			return p.SetRoute(dataplane.Flow{Home: home, Client: address(i)}, dataplane.Route{Kind: dataplane.Held})
		},
		"binding": func(i int) error {
			return p.SetBinding(dataplane.Binding{Local: careOf, Home: address(10 + i), CareOf: neighbor})
		},
		"tunnel": func(i int) error {
			return p.SetTunnel(dataplane.Tunnel{Home: address(20 + i), CareOf: neighbor, HomeAgent: careOf})
		},
	} {
		for i := 1; i <= 2; i++ {
			if err := set(i); err != nil {
				t.Fatalf("%s %d: %v", name, i, err)
			}
		}
		if err := set(3); !errors.Is(err, dataplane.ErrFull) {
			t.Errorf("%s 3: %v, want ErrFull", name, err)
		}
	}
	s := p.State()
	if len(s.Routes) != 2 || len(s.Bindings) != 2 || len(s.Tunnels) != 2 {
		t.Errorf("state %+v", s)
	}
}

func TestProbe(t *testing.T) {
	if err := tcbpf.Probe(); err != nil {
		t.Fatal(err)
	}
}

func TestNoSuchInterface(t *testing.T) {
	replica, _ := newPair(t)
	err := replica.Do(func() error {
		_, err := tcbpf.New(tcbpf.Config{Interface: "eth7"})
		return err
	})
	if err == nil {
		t.Fatal("New on eth7, which there is not, succeeded")
	}
	p := newPlane(t, replica, "eth0") // nothing is left behind that would hinder
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
}

package homeagent

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/mipv6/dataplane/planetest"
	"github.com/vanycast/vanycast/mipv6/homelink"
	"github.com/vanycast/vanycast/mipv6/homelink/homelinktest"
	"github.com/vanycast/vanycast/mipv6/mhsock"
	"github.com/vanycast/vanycast/mipv6/mhsock/mhtest"
)

var (
	contactAddr = netip.MustParseAddr(contact)
	agentAddr   = netip.MustParseAddr(agent)
	glassAddr   = netip.MustParseAddr(glass)
	homePrefix  = netip.MustParsePrefix("2001:db8:9::/64")
)

// world is a home agent and a mobile node on a network.
type world struct {
	t      *testing.T
	plane  *planetest.Plane
	link   *homelinktest.Link
	role   *Role
	mobile *mhtest.Host
	cancel context.CancelFunc
	ended  chan error
}

func newWorld(t *testing.T) *world {
	network := mhtest.NewNetwork()
	w := &world{t: t, plane: planetest.New(), link: homelinktest.New(),
		mobile: network.Host(glassAddr), ended: make(chan error, 1)}
	conn := network.Host(agentAddr)
	var err error
	w.role, err = New(Config{Address: agentAddr, Prefix: homePrefix, Interface: "eth0", Replicas: []netip.Addr{glassAddr}}, Deps{Plane: w.plane, MH: conn, Link: w.link})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	w.cancel = cancel
	go mhsock.Each(ctx, conn.Receive, w.role.HandleMH)
	go func() { w.ended <- w.role.Run(ctx) }()
	return w
}

func (w *world) send(m *mipv6.BindingUpdate) {
	w.t.Helper()
	m.HomeRegistration, m.Acknowledge = true, true
	p := &mipv6.Packet{Src: glassAddr, Dst: agentAddr, HomeAddress: contactAddr}
	if err := p.Carry(m, nil); err != nil {
		w.t.Fatal(err)
	}
	if err := w.mobile.Send(p); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) acknowledged(want mipv6.Status) {
	w.t.Helper()
	r, err := w.mobile.Receive(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	m, err := mipv6.Parse(r.Message)
	if err != nil {
		w.t.Fatal(err)
	}
	if ack, ok := m.(*mipv6.BindingAcknowledgement); !ok || ack.Status != want || r.Dst != contactAddr {
		w.t.Fatalf("received %+v to %v, want a Binding Acknowledgement with %v", m, r.Dst, want)
	}
}

func (w *world) end() {
	w.t.Helper()
	w.cancel()
	if err := <-w.ended; err != nil {
		w.t.Errorf("Run: %v", err)
	}
	w.nothingLeft()
}

func (w *world) nothingLeft() {
	w.t.Helper()
	if tunnels, proxies, watched := w.plane.State().Tunnels, w.link.Proxies(), w.link.Watched(); len(tunnels)+len(proxies)+len(watched) != 0 {
		w.t.Errorf("left: tunnels %v, proxies %v, watched %v", tunnels, proxies, watched)
	}
}

// A registration over the network: probed for a second, then proxied and
// tunnelled, until it expires.
func TestRoleLifetime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.end()
		asked := time.Now()
		w.send(&mipv6.BindingUpdate{Sequence: 1, Lifetime: 60 * time.Second})
		synctest.Wait()
		if got := w.link.Watched(); !slices.Equal(got, []netip.Addr{contactAddr}) {
			t.Errorf("watched %v", got)
		}
		w.acknowledged(mipv6.StatusAccepted)
		if took := time.Since(asked); took != time.Second {
			t.Errorf("accepted after %v, want 1s of duplicate address detection", took)
		}
		want := []dataplane.Tunnel{{Home: contactAddr, CareOf: glassAddr, HomeAgent: agentAddr}}
		if got := w.plane.State().Tunnels; !slices.Equal(got, want) {
			t.Errorf("tunnels %v, want %v", got, want)
		}
		if got := w.link.Proxies(); !slices.Equal(got, []netip.Addr{contactAddr}) {
			t.Errorf("proxies %v", got)
		}
		if got := w.role.Bindings(); len(got) != 1 || got[0].Home != contactAddr {
			t.Errorf("Bindings: %v", got)
		}
		time.Sleep(60*time.Second - time.Millisecond)
		synctest.Wait()
		if len(w.plane.State().Tunnels) != 1 {
			t.Errorf("the tunnel is gone before its time")
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		w.nothingLeft()
	})
}

// Somebody on the home link has the address.
func TestRoleDuplicate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.end()
		w.send(&mipv6.BindingUpdate{Sequence: 1, Lifetime: 60 * time.Second})
		synctest.Wait()
		w.link.Say(homelink.Neighbour{Src: contactAddr, Target: contactAddr, Advertisement: true})
		w.acknowledged(mipv6.StatusDuplicateAddressDetectionFailed)
		w.nothingLeft()
	})
}

// The host refuses: the mobile node hears so.
func TestRoleHostFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.end()
		w.link.Refuse(errors.New("out of groups"))
		w.send(&mipv6.BindingUpdate{Sequence: 1, Lifetime: 60 * time.Second})
		w.acknowledged(mipv6.StatusInsufficientResources)
		w.nothingLeft()
	})
}

// The end leaves nothing, whoever causes it and in whatever state.
func TestRoleEnds(t *testing.T) {
	for _, tt := range []struct {
		name string
		wait time.Duration // after the update
	}{{"in detection", time.Millisecond}, {"registered", 2 * time.Second}} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.send(&mipv6.BindingUpdate{Sequence: 1, Lifetime: 60 * time.Second})
				time.Sleep(tt.wait)
				if err := w.role.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
				w.nothingLeft()
				if err := <-w.ended; err != nil {
					t.Errorf("Run after Close: %v", err)
				}
				w.cancel()
			})
		})
	}
}

func TestConfigErrors(t *testing.T) {
	good := Config{Address: agentAddr, Prefix: homePrefix, Interface: "eth0"}
	for _, change := range []func(*Config){
		func(c *Config) { c.Address = netip.Addr{} },
		func(c *Config) { c.Address = netip.MustParseAddr("fe80::1") },
		func(c *Config) { c.Address = glassAddr },
		func(c *Config) { c.Prefix = netip.Prefix{} },
		func(c *Config) { c.Interface = "" },
	} {
		c := good
		change(&c)
		if _, err := New(c, Deps{Link: homelinktest.New()}); err == nil {
			t.Errorf("New(%+v): no error", c)
		}
	}
}

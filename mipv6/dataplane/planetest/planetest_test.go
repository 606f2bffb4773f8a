package planetest_test

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/mipv6/dataplane/planetest"
)

var (
	home   = netip.MustParseAddr("2001:db8:9::1")
	careOf = netip.MustParseAddr("2001:db8:1::10")
	agent  = netip.MustParseAddr("2001:db8:9::ff")
	client = netip.MustParseAddr("2001:db8:a::10")
	flow   = dataplane.Flow{Home: home, Client: client}
)

func TestStateIsWhatWasDeclared(t *testing.T) {
	p := planetest.New()
	contact := dataplane.Contact{Home: home, CareOf: careOf, HomeAgent: agent}
	if err := p.SetRoute(flow, dataplane.Route{}); !errors.Is(err, dataplane.ErrNoContact) {
		t.Fatalf("route without contact: %v", err)
	}
	for range 2 {
		if err := p.SetContact(contact); err != nil {
			t.Fatal(err)
		}
		if err := p.SetRoute(flow, dataplane.Route{Kind: dataplane.Held}); err != nil {
			t.Fatal(err)
		}
	}
	want := dataplane.State{
		Contacts: []dataplane.Contact{contact},
		Routes:   map[dataplane.Flow]dataplane.Route{flow: {Kind: dataplane.Held}},
	}
	options := []cmp.Option{cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.Addr{})}
	if d := cmp.Diff(want, p.State(), options...); d != "" {
		t.Errorf("state (-want +got):\n%s", d)
	}
	if err := p.RemoveContact(home); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(dataplane.State{}, p.State(), options...); d != "" {
		t.Errorf("state after removal (-want +got):\n%s", d)
	}
	if n := len(p.Calls()); n != 6 {
		t.Errorf("%d calls recorded, want 6", n)
	}
}

func TestFailures(t *testing.T) {
	p := planetest.New()
	boom := errors.New("boom")
	p.FailWith(func(c planetest.Call) error {
		if c.Method == "SetTunnel" {
			return boom
		}
		return nil
	})
	tunnel := dataplane.Tunnel{Home: home, CareOf: careOf, HomeAgent: agent}
	if err := p.SetTunnel(tunnel); !errors.Is(err, boom) {
		t.Errorf("SetTunnel: %v", err)
	}
	if err := p.SetBinding(dataplane.Binding{Local: client, Home: home}); !errors.Is(err, dataplane.ErrInvalid) {
		t.Errorf("binding without care-of address: %v", err)
	}
	p.FailWith(nil)
	p.Limit(1)
	if err := p.SetTunnel(tunnel); err != nil {
		t.Error(err)
	}
	tunnel.Home = client
	if err := p.SetTunnel(tunnel); !errors.Is(err, dataplane.ErrFull) {
		t.Errorf("second tunnel where one fits: %v", err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if err := p.SetTunnel(tunnel); !errors.Is(err, dataplane.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestEventsAndStamps(t *testing.T) {
	p := planetest.New()
	at := time.Unix(1, 0)
	p.Use(flow, at)
	if got, err := p.LastUsed(flow); err != nil || !got.Equal(at) {
		t.Errorf("LastUsed: %v %v", got, err)
	}
	e := dataplane.Event{Kind: dataplane.UnknownHomeAddress, Source: careOf, Dest: client, Home: home}
	p.Emit(e)
	if got := <-p.Events(); got != e {
		t.Errorf("event %v, want %v", got, e)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	p.Emit(e)
	if n := p.Counters()[dataplane.CounterEventsLost]; n != 1 {
		t.Errorf("%d events lost, want 1", n)
	}
	if _, open := <-p.Events(); open {
		t.Error("events are open after Close")
	}
}

package homeagent

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/dataplane"
)

// What a replica registers reaches the data plane, and leaves it with the role.
func TestFurtherReachesPlane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		options := []cmp.Option{cmpopts.EquateComparable(netip.Addr{}), cmpopts.EquateEmpty()}
		w.send(&mipv6.BindingUpdate{Sequence: 1, Lifetime: time.Minute, Options: []mipv6.Option{&mipv6.BindingIdentifier{ID: 1, Priority: 1}}})
		w.acknowledged(mipv6.StatusAccepted)
		flow := dataplane.Flow{Home: contactAddr, Client: netip.MustParseAddr("2001:db8:b::10"), HomePort: 4000, ClientPort: 40000}
		w.send(&mipv6.BindingUpdate{Sequence: 1, Lifetime: time.Minute, Options: []mipv6.Option{
			&mipv6.BindingIdentifier{ID: 1, Priority: mipv6.LeastBindingPriority},
			&mipv6.FlowIdentification{ID: 5, Priority: 6, Bindings: []uint16{1}, Selector: &mipv6.TrafficSelector{
				Source: mipv6.Only(flow.Client), SourcePort: mipv6.Only(flow.ClientPort), DestinationPort: mipv6.Only(flow.HomePort)}},
		}})
		w.acknowledged(mipv6.StatusAccepted)
		want := []dataplane.FlowTunnel{{Flow: flow, CareOf: glassAddr}}
		if d := cmp.Diff(want, w.plane.State().FlowTunnels, options...); d != "" {
			t.Errorf("flows (-want +got):\n%s", d)
		}
		if d := cmp.Diff([]dataplane.CareOf{{Home: contactAddr, CareOf: glassAddr}}, w.plane.State().CareOfs, options...); d != "" {
			t.Errorf("care-of addresses (-want +got):\n%s", d)
		}
		if len(w.role.Flows(contactAddr)) != 1 {
			t.Errorf("flows of the role: %v", w.role.Flows(contactAddr))
		}
		w.cancel()
		if err := <-w.ended; err != nil {
			t.Error(err)
		}
		if d := cmp.Diff(dataplane.State{}, w.plane.State(), options...); d != "" {
			t.Errorf("after the role (-want +got):\n%s", d)
		}
	})
}

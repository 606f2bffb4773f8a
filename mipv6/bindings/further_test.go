package bindings

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/vanycast/vanycast/mipv6"
)

var (
	fHome  = netip.MustParseAddr("2001:db8:9::1")
	fGlass = netip.MustParseAddr("2001:db8:1::10")
	fSnake = netip.MustParseAddr("2001:db8:2::10")
	fFlow  = Flow{netip.MustParseAddr("2001:db8:b::10"), 80, 40000}
	epoch  = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
)

func furtherRequest(id uint16, careOf netip.Addr, seq uint16, flows ...FlowBinding) FurtherRequest {
	return FurtherRequest{FurtherKey: FurtherKey{fHome, id}, CareOf: careOf, Sequence: seq, Lifetime: time.Minute, Flows: flows}
}

// RFC 5648 §6.2: each binding has its own sequence numbers; a deletion of what is
// not there is refused with status 133.
func TestFurtherStatuses(t *testing.T) {
	for _, tt := range []struct {
		name string
		r    FurtherRequest
		want mipv6.Status
		last uint16
	}{
		{"refresh", furtherRequest(1, fGlass, 11), mipv6.StatusAccepted, 11},
		{"the same number", furtherRequest(1, fGlass, 10), mipv6.StatusSequenceOutOfWindow, 10},
		{"another binding's number does not count", furtherRequest(2, fSnake, 3), mipv6.StatusAccepted, 3},
		{"another host's identifier", furtherRequest(1, fSnake, 11), mipv6.StatusAdministrativelyProhibited, 11},
		{"deletion", FurtherRequest{FurtherKey: FurtherKey{fHome, 1}, CareOf: fGlass, Sequence: 11}, mipv6.StatusAccepted, 11},
		{"deletion of nothing", FurtherRequest{FurtherKey: FurtherKey{fHome, 3}, CareOf: fGlass, Sequence: 11}, mipv6.StatusNotHomeAgent, 11},
		{"one too many of a home address", furtherRequest(3, netip.MustParseAddr("2001:db8:3::10"), 1), mipv6.StatusInsufficientResources, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := NewFurther(FurtherConfig{PerHome: 2})
			f.Update(epoch, furtherRequest(1, fGlass, 10))
			if tt.name == "one too many of a home address" {
				f.Update(epoch, furtherRequest(2, fSnake, 1))
			}
			if res := f.Update(epoch, tt.r); res.Status != tt.want || res.Sequence != tt.last {
				t.Errorf("status %v, number %d, want %v, %d", res.Status, res.Sequence, tt.want, tt.last)
			}
		})
	}
}

// Two replicas claim a connection: the newer owner's priority number is less, so it
// has the flow in whichever order they come, over the end of the numbers too.
func TestFlowOwner(t *testing.T) {
	for _, old := range []uint16{0x8000, 1, 0, 0xffff} {
		donor := furtherRequest(1, fGlass, 10, FlowBinding{5, old, fFlow})
		acceptor := furtherRequest(2, fSnake, 10, FlowBinding{6, old - 1, fFlow})
		for name, order := range map[string][]FurtherRequest{"in order": {donor, acceptor}, "late": {acceptor, donor}} {
			f := NewFurther(FurtherConfig{})
			for _, r := range order {
				f.Update(epoch, r)
			}
			if got := f.Flows(fHome)[fFlow]; got != fSnake {
				t.Errorf("priority %#x, %s: the flow goes to %v", old, name, got)
			}
			// When the acceptor's goes the donor's counts again.
			if c := f.Remove(acceptor.FurtherKey); len(c.Flows) != 1 || c.Flows[0].CareOf != fGlass {
				t.Errorf("priority %#x, %s: after removal %+v", old, name, c)
			}
		}
	}
}

// RFC 6089 §5.2: what an update does not name goes; what it keeps stays; what it
// wants kept and is not there is told.
func TestFlowsKept(t *testing.T) {
	f := NewFurther(FurtherConfig{PerBinding: 3})
	flow := func(port uint16) Flow { return Flow{fFlow.Client, 80, port} }
	f.Update(epoch, furtherRequest(1, fGlass, 1, FlowBinding{1, 1, flow(1)}, FlowBinding{2, 1, flow(2)}, FlowBinding{3, 1, flow(3)}))
	r := furtherRequest(1, fGlass, 2, FlowBinding{4, 1, flow(4)}, FlowBinding{5, 1, flow(5)}, FlowBinding{0, 1, flow(6)})
	r.Keep = []uint16{2, 9}
	res := f.Update(epoch, r)
	want := []FlowResult{{4, 1, 0}, {5, 1, 0}, {0, 1, mipv6.FlowMalformed}, {9, 0, mipv6.FlowUnknown}}
	if d := cmp.Diff(want, res.Flows); d != "" {
		t.Errorf("results (-want +got):\n%s", d)
	}
	if got := f.Flows(fHome); len(got) != 3 || got[flow(2)] != fGlass || got[flow(4)] != fGlass || got[flow(5)] != fGlass {
		t.Errorf("flows %v", got)
	}
	if res := f.Update(epoch, furtherRequest(2, fSnake, 1, FlowBinding{4, 0, flow(4)})); res.Flows[0].Status != mipv6.FlowAdministrativelyProhibited {
		t.Errorf("another replica's number: %v", res.Flows)
	}
	r = furtherRequest(1, fGlass, 3, FlowBinding{6, 1, flow(6)}, FlowBinding{7, 1, flow(7)})
	r.Keep = []uint16{2, 4}
	if res := f.Update(epoch, r); res.Flows[0].Status != mipv6.FlowAccepted || res.Flows[1].Status != mipv6.FlowReasonUnspecified {
		t.Errorf("beyond the bound: %+v", res.Flows)
	}
}

func TestFurtherExpires(t *testing.T) {
	f := NewFurther(FurtherConfig{})
	f.Update(epoch, furtherRequest(1, fGlass, 1, FlowBinding{1, 1, fFlow}))
	f.Update(epoch.Add(30*time.Second), furtherRequest(1, fGlass, 2, FlowBinding{1, 1, fFlow}))
	if next, ok := f.Next(); !ok || !next.Equal(epoch.Add(90*time.Second)) {
		t.Fatalf("next %v", next)
	}
	if e := f.Poll(epoch.Add(89 * time.Second)); e != nil {
		t.Fatalf("expired too early: %+v", e)
	}
	want := []FurtherExpired{{FurtherKey{fHome, 1}, FurtherChanges{Removed: []netip.Addr{fGlass}, Flows: []FlowChange{{Flow: fFlow}}}}}
	if d := cmp.Diff(want, f.Poll(epoch.Add(90*time.Second)), cmpopts.EquateComparable(netip.Addr{})); d != "" {
		t.Errorf("expired (-want +got):\n%s", d)
	}
	if f.Len() != 0 || f.FlowCount() != 0 {
		t.Errorf("%d bindings and %d flows left", f.Len(), f.FlowCount())
	}
}

// Whatever is asked in whatever order: the changes, applied one after the other,
// give what is registered; each flow goes to the claim that a naive search finds;
// and the bounds hold.
func TestFurtherModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := NewFurther(FurtherConfig{PerHome: 3, PerBinding: 4, Flows: 8})
		now := epoch
		careOfs, flows := map[netip.Addr]bool{}, map[Flow]netip.Addr{}
		apply := func(c FurtherChanges) {
			for _, a := range c.Added {
				if careOfs[a] {
					t.Fatalf("%v added twice", a)
				}
				careOfs[a] = true
			}
			for _, x := range c.Flows {
				if x.CareOf.IsValid() {
					flows[x.Flow] = x.CareOf
				} else {
					delete(flows, x.Flow)
				}
			}
			for _, a := range c.Removed {
				if !careOfs[a] {
					t.Fatalf("%v removed twice", a)
				}
				delete(careOfs, a)
			}
		}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 40).Draw(t, "seconds")) * time.Second)
			for _, e := range f.Poll(now) {
				apply(e.Changes)
			}
			id := uint16(rapid.IntRange(1, 4).Draw(t, "BID"))
			r := furtherRequest(id, netip.MustParseAddr(fmt.Sprintf("2001:db8:%d::10", (id+1)/2)), uint16(rapid.IntRange(0, 20).Draw(t, "number")))
			for range rapid.IntRange(0, 5).Draw(t, "flows") {
				r.Flows = append(r.Flows, FlowBinding{uint16(rapid.IntRange(0, 9).Draw(t, "FID")), uint16(rapid.IntRange(0, 3).Draw(t, "priority")),
					Flow{fFlow.Client, 80, uint16(rapid.IntRange(1, 4).Draw(t, "port"))}})
			}
			r.Keep = rapid.SliceOfN(rapid.Uint16Range(0, 9), 0, 4).Draw(t, "keep")
			switch rapid.IntRange(0, 9).Draw(t, "kind") {
			case 0:
				r.Lifetime = 0
			case 1:
				apply(f.RemoveHome(fHome))
				continue
			}
			apply(f.Update(now, r).Changes)
			if f.Len() > 3 || f.FlowCount() > 8 {
				t.Fatalf("%d bindings, %d flows", f.Len(), f.FlowCount())
			}
		}
		want := map[Flow]netip.Addr{}
		best := map[Flow]uint16{}
		for _, b := range f.of(fHome) {
			for _, e := range b.flows {
				if p, ok := best[e.Flow]; !ok || e.Priority < p {
					best[e.Flow] = e.Priority
				}
			}
		}
		for flow, to := range f.Flows(fHome) {
			claimed := false
			for _, b := range f.of(fHome) {
				for _, e := range b.flows {
					claimed = claimed || e.Flow == flow && e.Priority == best[flow] && b.careOf == to
				}
			}
			if !claimed {
				t.Fatalf("%v goes to %v, which has no claim of priority %d", flow, to, best[flow])
			}
			want[flow] = to
		}
		if len(best) != len(want) {
			t.Fatalf("%d flows claimed, %d chosen", len(best), len(want))
		}
		if d := cmp.Diff(want, flows, cmpopts.EquateComparable(netip.Addr{})); d != "" {
			t.Fatalf("changes (-registered +applied):\n%s", d)
		}
		for _, a := range f.CareOfs(fHome) {
			if !careOfs[a] {
				t.Fatalf("%v was never added", a)
			}
			delete(careOfs, a)
		}
		if len(careOfs) > 0 {
			t.Fatalf("left over: %v", careOfs)
		}
	})
}

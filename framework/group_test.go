package framework

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/vanycast/vanycast/handoff"
)

func TestGroup(t *testing.T) {
	glass, reich, adams := hosts["glass"], hosts["reich"], hosts["adams"]
	g := newGroup(glass, []netip.Addr{glass, reich, adams, reich}, 30*time.Second)
	now := time.Unix(1000, 0)
	want := func(when string, addrs ...netip.Addr) {
		t.Helper()
		if diff := cmp.Diff(addrs, g.available(now), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", when, diff)
		}
	}
	want("at first", reich, adams)
	g.failure(now, reich, errors.New("unreachable"))
	g.failure(now, adams, &handoff.RefusedError{Reason: handoff.ReasonQueueFull})
	g.failure(now, hosts["stranger"], errors.New("unreachable"))
	want("after failures", adams)
	now = now.Add(30*time.Second - 1)
	want("just before", adams)
	now = now.Add(1)
	want("tried again", reich, adams)
	g.failure(now, reich, errors.New("unreachable"))
	g.took(reich)
	want("a success counts more", reich, adams)
	if m := g.member(reich); m.accepted != 1 || m.failed != 2 || m.err != nil {
		t.Errorf("member: %+v", m)
	}
	if !g.knows(glass) || !g.knows(adams) || g.knows(hosts["stranger"]) {
		t.Error("knows")
	}
}

// TestReplicaFault: every reason of a refusal is either the replica's or not.
func TestReplicaFault(t *testing.T) {
	for r, want := range map[handoff.Reason]bool{
		handoff.ReasonNoService: true, handoff.ReasonNoApplication: true, handoff.ReasonDraining: true, handoff.ReasonVersion: true,
		handoff.ReasonQueueFull: false, handoff.ReasonBusy: false, handoff.ReasonInsert: false, handoff.ReasonNoMobileIPv6: false,
		handoff.ReasonBind: false, handoff.ReasonActivate: false, handoff.ReasonMalformed: false, handoff.ReasonUnspecified: false,
	} {
		if got := replicaFault(&handoff.RefusedError{Reason: r}); got != want {
			t.Errorf("%v: %t, want %t", r, got, want)
		}
	}
	if !replicaFault(errors.New("connection refused")) {
		t.Error("unreachable is not its fault")
	}
}

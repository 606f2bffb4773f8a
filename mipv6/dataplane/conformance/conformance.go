// Package conformance is what every data plane must do, shown with the kernel's
// own sockets on hosts in network namespaces, and judged by tshark: bindings are
// declared by hand, nobody signals.
package conformance

import (
	"regexp"
	"testing"

	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/tests/lab"
)

// Factory makes the plane under test on a host; the suite closes it.
type Factory func(t *testing.T, host *lab.Host, iface string) dataplane.Plane

// Backend is a kind of plane, with what it does in its own way.
type Backend struct {
	New Factory
	// Cuts: superpackets of optimised flows are cut before they leave the host.
	Cuts bool
	// Guards matches what a removed contact address may leave in the host's Trace
	// until Close; nil: nothing.
	Guards *regexp.Regexp
}

// Run runs the whole suite.
func Run(t *testing.T, b Backend) {
	for _, part := range []struct {
		name string
		test func(*testing.T, Backend)
	}{
		{"Tunnelled", testTunnelled},
		{"Optimised", testOptimised},
		{"Held", testHeld},
		{"MobilityHeaders", testMobilityHeaders},
		{"UnknownHomeAddress", testUnknownHomeAddress},
		{"ForeignTunnels", testForeignTunnels},
		{"Native", testNative},
		{"Source", testSource},
		{"DeclaredState", testDeclaredState},
		{"Many", testMany},
		{"Refused", testRefused},
		{"LastUsed", testLastUsed},
		{"SegmentSize", testSegmentSize},
		{"Superpackets", testSuperpackets},
		{"BetweenContacts", testBetweenContacts},
		{"Fragments", testFragments},
		{"OnLinkClient", testOnLinkClient},
		{"SeveralContacts", testSeveralContacts},
		{"Handoff", testHandoff},
		{"Absent", testAbsent},
		{"RoutesFollowed", testRoutesFollowed},
		{"PathMTU", testPathMTU},
		{"Protect", testProtect},
		{"ESPHomeAddress", testESPHomeAddress},
		{"Relay", testRelay},
		{"Heard", testHeard},
		{"RelaySizes", testRelaySizes},
		{"RelayStrangers", testRelayStrangers},
		{"RelaySignalling", testRelaySignalling},
		{"Connections", testConnections},
		{"Direct", testDirect},
		{"Keep", testKeep},
		{"KeepRelay", testKeepRelay},
		{"KeepReturned", testKeepReturned},
		{"KeepStrangers", testKeepStrangers},
		{"KeepBulk", testKeepBulk},
		{"Pause", testPause},
		{"PauseGivenUp", testPauseGivenUp},
		{"PauseKeep", testPauseKeep},
		{"PauseConnection", testPauseConnection},
		{"PauseBounds", testPauseBounds},
		{"PauseBulk", testPauseBulk},
		{"PauseStrangers", testPauseStrangers},
		{"PauseOwn", testPauseOwn},
		{"PauseOwnBulk", testPauseOwnBulk},
		{"OptimisedRelayed", testOptimisedRelayed},
		{"Steer", testSteer},
		{"SteerFlood", testSteerFlood},
		{"FlowTunnels", testFlowTunnels},
		{"FurtherCareOf", testFurtherCareOf},
		{"FlowTunnelState", testFlowTunnelState},
	} {
		t.Run(part.name, func(t *testing.T) { part.test(t, b) })
	}
}

// start makes the planes of replica, home agent and client, and closes them at
// the end of the test.
func start(t *testing.T, top *topology, b Backend) planes {
	t.Helper()
	one := func(h *lab.Host) dataplane.Plane {
		p := b.New(t, h, "eth0")
		t.Cleanup(func() {
			if err := p.Close(); err != nil {
				t.Errorf("closing the plane of %s: %v", h.Name(), err)
			}
		})
		return p
	}
	return planes{replica: one(top.replica), agent: one(top.agent), client: one(top.client)}
}

// counted wants a counter to have grown since before, unless the backend has no
// such counter.
func counted(t *testing.T, p dataplane.Plane, name string, before map[string]uint64) {
	t.Helper()
	if n, ok := p.Counters()[name]; ok && n == before[name] {
		t.Errorf("nothing counted as %s", name)
	}
}

// must ends the test at the first error.
func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

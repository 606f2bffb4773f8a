package vanycast_test

import (
	"net"
	"testing"

	"golang.org/x/net/nettest"
)

// TestNetConn runs golang.org/x/net's conformance tests of net.Conn between a
// Conn and its client.
func TestNetConn(t *testing.T) {
	p := newRig(t, nil, glass).replicas[glass]
	ln := p.listen()
	nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
		client := p.dial()
		server := accept(t, ln)
		return server, client, func() { server.Close(); client.Close() }, nil
	})
}

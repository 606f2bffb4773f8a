package mhtest_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/mhsock/mhtest"
)

var (
	home   = netip.MustParseAddr("2001:db8:9::1")
	careOf = netip.MustParseAddr("2001:db8:1::10")
	client = netip.MustParseAddr("2001:db8:5::7")
)

func packet(t *testing.T, p mipv6.Packet, m mipv6.Message) *mipv6.Packet {
	t.Helper()
	if err := p.Carry(m, nil); err != nil {
		t.Fatal(err)
	}
	return &p
}

func TestNetwork(t *testing.T) {
	n := mhtest.NewNetwork()
	mobile, peer := n.Host(careOf), n.Host(client)
	update := packet(t, mipv6.Packet{Src: careOf, Dst: client, HomeAddress: home}, &mipv6.BindingUpdate{Sequence: 1})
	if err := mobile.Send(update); err != nil {
		t.Fatal(err)
	}
	r, err := peer.Receive(t.Context())
	if err != nil || r.Src != home || r.CareOf != careOf || r.Dst != client {
		t.Fatalf("Receive: %+v, %v", r, err)
	}
	ack := packet(t, mipv6.Packet{Src: client, Dst: careOf, RoutingHome: home}, &mipv6.BindingAcknowledgement{Sequence: 1})
	if err := peer.Send(ack); err != nil {
		t.Fatal(err)
	}
	r, err = mobile.Receive(t.Context())
	if err != nil || r.Src != client || r.CareOf.IsValid() || r.Dst != home {
		t.Fatalf("Receive: %+v, %v", r, err)
	}
	n.Filter(func(p *mipv6.Packet) bool { return p.Dst != client })
	if err := mobile.Send(update); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if r, err := peer.Receive(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Receive of a lost packet: %+v, %v", r, err)
	}
	if got := len(n.Sent()); got != 3 {
		t.Errorf("%d packets sent, want 3", got)
	}
	if err := peer.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := peer.Receive(t.Context()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Receive after Close: %v", err)
	}
	if err := peer.Send(ack); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Send after Close: %v", err)
	}
}

package tcbpf_test

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/tests/lab"
)

// openTUN makes a TUN interface on the host: packets without a link header, with
// this test at the other end.
func openTUN(t *testing.T, h *lab.Host, name string) *os.File {
	t.Helper()
	var tun *os.File
	err := h.Do(func() error {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("CONFIG_TUN: %w", err)
		}
		request, err := unix.NewIfreq(name)
		if err != nil {
			return err
		}
		request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
			return err
		}
		tun = os.NewFile(uintptr(fd), name)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tun.Close() })
	h.IP("link", "set", name, "up")
	return tun
}

// On a link without link header the programs find the packet as well.
func TestTUN(t *testing.T) {
	host := lab.New(t).Host("replica")
	tun := openTUN(t, host, "tun0")
	host.Addr("tun0", netip.PrefixFrom(careOf, 64))
	host.IP("-6", "route", "add", "default", "dev", "tun0")
	p := newPlane(t, host, "tun0")
	defer func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := p.SetContact(dataplane.Contact{Home: home, CareOf: careOf, HomeAgent: agent}); err != nil {
		t.Fatal(err)
	}
	client := netip.MustParseAddr("2001:db8:a::10")
	var socket net.PacketConn
	err := host.Do(func() (err error) {
		socket, err = net.ListenPacket("udp6", netip.AddrPortFrom(home, 9).String())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()

	// Out: through the tunnel, then with a Home Address option.
	to := net.UDPAddrFromAddrPort(netip.AddrPortFrom(client, 4000))
	next := func(match func(mipv6.Packet) bool) mipv6.Packet {
		t.Helper()
		if err := tun.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		for b := make([]byte, 2000); ; {
			n, err := tun.Read(b)
			if err != nil {
				t.Fatal(err)
			}
			if q, err := mipv6.ParsePacket(bytes.Clone(b[:n])); err == nil && match(*q) {
				return *q
			}
		}
	}
	if _, err := socket.WriteTo([]byte("one"), to); err != nil {
		t.Fatal(err)
	}
	outer := next(func(q mipv6.Packet) bool { return q.NextHeader == unix.IPPROTO_IPV6 })
	inner, err := mipv6.ParsePacket(outer.Payload)
	if err != nil || outer.Src != careOf || outer.Dst != agent || inner.Src != home || inner.Dst != client {
		t.Errorf("through the tunnel: %+v, inside %+v, %v", outer, inner, err)
	}
	if err := p.SetRoute(dataplane.Flow{Home: home, Client: client}, dataplane.Route{Kind: dataplane.Optimised}); err != nil {
		t.Fatal(err)
	}
	if _, err := socket.WriteTo([]byte("two"), to); err != nil {
		t.Fatal(err)
	}
	direct := next(func(q mipv6.Packet) bool { return q.NextHeader == unix.IPPROTO_UDP })
	if direct.Src != careOf || direct.Dst != client || direct.HomeAddress != home || !bytes.HasSuffix(direct.Payload, []byte("two")) {
		t.Errorf("optimised: %+v", direct)
	}

	// In: the same two ways. The datagram has no checksum of its own to be wrong: it
	// is the one that came out, turned round.
	answer := bytes.Clone(direct.Payload)
	copy(answer[0:2], direct.Payload[2:4])
	copy(answer[2:4], direct.Payload[0:2])
	plain := mipv6.Packet{Src: client, Dst: home, HopLimit: 64, NextHeader: unix.IPPROTO_UDP, Payload: answer}
	b, err := plain.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []mipv6.Packet{
		{Src: agent, Dst: careOf, HopLimit: 64, NextHeader: unix.IPPROTO_IPV6, Payload: b},
		{Src: client, Dst: careOf, RoutingHome: home, HopLimit: 64, NextHeader: unix.IPPROTO_UDP, Payload: answer},
	} {
		b, err := q.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tun.Write(b); err != nil {
			t.Fatal(err)
		}
		if err := socket.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 100)
		n, from, err := socket.ReadFrom(got)
		if err != nil || string(got[:n]) != "two" || from.String() != to.String() {
			t.Errorf("received %q from %v, %v", got[:n], from, err)
		}
	}
}

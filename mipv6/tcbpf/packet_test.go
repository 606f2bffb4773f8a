package tcbpf_test

import (
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/vanycast/vanycast/mipv6"
)

// datagram is a UDP packet to port 9.
func datagram(t testing.TB, from, to netip.Addr) []byte {
	t.Helper()
	p := mipv6.Packet{Src: from, Dst: to, HopLimit: 64, NextHeader: unix.IPPROTO_UDP, Payload: []byte{0x11, 0x22, 0, 9, 0, 8, 0xbe, 0xef}}
	b, err := p.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// sendRaw sends a whole packet from the calling thread's namespace.
func sendRaw(packet []byte) error {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	// As a socket bound to that source would: the rules look at it.
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_FREEBIND, 1); err != nil {
		return err
	}
	if err := unix.Bind(fd, &unix.SockaddrInet6{Addr: [16]byte(packet[8:24])}); err != nil {
		return err
	}
	return unix.Sendto(fd, packet, 0, &unix.SockaddrInet6{Addr: [16]byte(packet[24:40])})
}

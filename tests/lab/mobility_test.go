package lab

import (
	"context"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Packets with a Mobility Header (a Care-of Test Init with its cookie), made
// with scapy 2.5: a plain one, one with a Home Address option, one with a
// type 2 routing header, and the first in a tunnel.
var mobilityPackets = map[string]string{
	"plain":                 "600000000010874020010db800000000000000000000000120010db80000000000000000000000023b01020056de00000102030405060708",
	"home address option":   "6000000000283c4020010db800000000000000000000000120010db8000000000000000000000002870201020000c91020010db80009000000000000000000013b01020056d500000102030405060708",
	"type 2 routing header": "6000000000282b4020010db800000000000000000000000120010db8000000000000000000000002870202010000000020010db80009000000000000000000013b01020056d600000102030405060708",
	"tunnel":                "600000000038294020010db800050000000000000000000120010db8000600000000000000000001600000000010874020010db800000000000000000000000120010db80000000000000000000000023b01020056de00000102030405060708",
}

func TestCheckMobility(t *testing.T) {
	for name, text := range mobilityPackets {
		p, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		if err := checkMobility(p); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for i := len(p) - 16; i < len(p); i++ {
			p[i] ^= 0x10
			if checkMobility(p) == nil {
				t.Errorf("%s: wrong in byte %d, not noticed", name, i)
			}
			p[i] ^= 0x10
		}
		for n := range p {
			_ = checkMobility(p[:n]) // must not panic
		}
	}
}

// A Mobility Header with a wrong checksum on the wire is a problem, one with a
// good checksum is none.
func TestProblemsHaveMobilityHeaders(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	a, b, iface := twoHosts(t, Wire())
	c, err := b.Capture(iface)
	if err != nil {
		t.Fatal(err)
	}
	p, err := hex.DecodeString(mobilityPackets["plain"])
	if err != nil {
		t.Fatal(err)
	}
	err = a.Do(func() error {
		fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_RAW, unix.IPPROTO_RAW)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		to := &unix.SockaddrInet6{Addr: [16]byte(p[24:40])}
		if err := unix.Sendto(fd, p, 0, to); err != nil {
			return err
		}
		p[len(p)-1] ^= 1
		return unix.Sendto(fd, p, 0, to)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	if sent, err := c.Count(ctx, "mipv6 && !icmpv6"); err != nil || sent != 2 {
		t.Errorf("%d Mobility Headers captured, %v; want 2", sent, err)
	}
	problems, err := c.Problems(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if len(problems) != 1 || !strings.Contains(problems[0], "bad checksum") {
		t.Errorf("problems: %q, want the one bad checksum", problems)
	}
}

package tests

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/tests/lab"
)

// attacker sends whole IPv6 packets from a host, with whatever source.
type attacker struct{ fd int }

func newAttacker(t *testing.T, h *lab.Host) *attacker {
	t.Helper()
	a := &attacker{}
	must(t, h.Do(func() (err error) {
		a.fd, err = unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
		return err
	}))
	t.Cleanup(func() { unix.Close(a.fd) })
	return a
}

func (a *attacker) send(t *testing.T, packet []byte) {
	t.Helper()
	to := &unix.SockaddrInet6{Addr: [16]byte(packet[24:40])}
	if err := unix.Sendto(a.fd, packet, 0, to); err != nil && !errors.Is(err, unix.EMSGSIZE) {
		t.Fatal(err)
	}
}

// malformed are Mobility Headers of every type, whole and damaged: cut short at
// each octet, lengthened, with single octets changed; some with a Home Address
// option. Their checksums are right, else nobody would look at them.
func malformed(t *testing.T, src, dst, home netip.Addr) (packets [][]byte) {
	t.Helper()
	r := rand.New(rand.NewPCG(6275, 8200))
	add := func(mh []byte) {
		p := &mipv6.Packet{Src: src, Dst: dst, HopLimit: 64, NextHeader: mipv6.ProtocolMobility, Payload: mh}
		if r.IntN(3) == 0 {
			p.HomeAddress = home
		}
		if len(mh) >= 6 {
			binary.BigEndian.PutUint16(mh[4:], 0)
			from, to := p.ChecksumAddresses()
			binary.BigEndian.PutUint16(mh[4:], mipv6.Checksum(mh, mipv6.ProtocolMobility, from, to))
		}
		b, err := p.MarshalBinary()
		must(t, err)
		packets = append(packets, b)
	}
	options := []mipv6.Option{&mipv6.NonceIndices{Home: 1, CareOf: 2}, &mipv6.AlternateCareOf{Addr: home}, &mipv6.AuthorizationData{}}
	for _, m := range []mipv6.Message{
		&mipv6.BindingRefreshRequest{}, &mipv6.HomeTestInit{}, &mipv6.CareOfTestInit{}, &mipv6.HomeTest{}, &mipv6.CareOfTest{},
		&mipv6.BindingUpdate{Acknowledge: true, Lifetime: time.Minute, Options: options},
		&mipv6.BindingUpdate{Acknowledge: true, HomeRegistration: true, Lifetime: time.Minute, Options: options[1:2]},
		&mipv6.BindingAcknowledgement{Options: options[2:]},
		&mipv6.BindingError{Status: mipv6.UnknownBinding, Home: home},
	} {
		whole, err := mipv6.Marshal(m, src, dst)
		must(t, err)
		for n := range whole {
			add(append([]byte{}, whole[:n]...))
		}
		add(append(append([]byte{}, whole...), make([]byte, 8)...))
		for range 60 {
			b := append([]byte{}, whole...)
			for range 1 + r.IntN(3) {
				b[r.IntN(len(b))] = byte(r.Uint32())
			}
			add(b)
		}
	}
	return packets
}

// replayed are the Mobility Headers that a link saw, as they were.
func replayed(t *testing.T, c *lab.Capture) (packets [][]byte) {
	t.Helper()
	all, err := c.Packets()
	must(t, err)
	for _, b := range all {
		if p, err := mipv6.ParsePacket(b); err == nil && p.NextHeader == mipv6.ProtocolMobility {
			packets = append(packets, b)
		}
	}
	return packets
}

// Malformed, truncated, replayed and unexpected messages, at the home agent, at
// the client, at replicas and at the contact address: they are dropped and
// counted, and the session that goes on meanwhile does not notice.
func TestBadMessagesWhileServing(t *testing.T) {
	t.Parallel()
	ctx := testContext(t, 120*time.Second)
	s := bringUp(ctx, t)
	s.echoAt(ctx, t, "glass", "reich", "adams")
	home, err := s.Router.Capture("home")
	must(t, err)
	modern, err := s.Router.Capture("modern")
	must(t, err)
	session := s.telnet(ctx, t)
	must(t, session.Say(ctx, "HaHoHe"))
	must(t, errors.Join(home.Stop(), modern.Stop()))

	legacy, _ := lab.SiteOf("legacy")
	contact := netip.MustParseAddr(lab.ContactAddress)
	a := newAttacker(t, s.Legacy)
	link, err := s.Router.Capture("modern")
	must(t, err)
	sent := 0
	for _, target := range []netip.Addr{netip.MustParseAddr(lab.HomeAgent), contact, s.address("modern"), s.address("glass"), s.address("reich")} {
		for _, b := range malformed(t, legacy.Addr, target, contact) {
			a.send(t, b)
			if sent++; sent%500 == 0 {
				must(t, session.Say(ctx, "still there? H"))
			}
		}
	}
	replays := append(replayed(t, home), replayed(t, modern)...)
	if len(replays) < 15 {
		t.Fatalf("only %d messages to be replayed", len(replays))
	}
	for range 3 {
		for _, b := range replays {
			a.send(t, b)
		}
		must(t, session.Say(ctx, "still there? H"))
	}
	must(t, session.Quit(ctx))
	must(t, link.Stop())
	resets, err := link.Count(ctx, "tcp.flags.reset == 1")
	must(t, err)
	if resets > 0 {
		t.Errorf("%d resets on the link of modern", resets)
	}

	for host, names := range map[string][]string{
		"ha":     {"home_agent.dropped_malformed", "home_agent.registrations_refused"},
		"modern": {"correspondent.dropped_malformed", "correspondent.dropped_unauthorised"},
		"glass":  {"anycast.dropped_malformed", "anycast.dropped_unexpected", "signalling.dropped_malformed", "signalling.dropped_unclaimed"},
		"reich":  {"signalling.dropped_malformed"},
	} {
		must(t, s.counted(ctx, host, names...))
	}
}

// counted wants counters of a daemon not to be 0.
func (s *site) counted(ctx context.Context, host string, names ...string) error {
	status, err := s.daemons[host].Status(ctx)
	if err != nil {
		return err
	}
	var missing []string
	for _, name := range names {
		if status.Counters[name] == 0 {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("%s did not count: %s\n%v", host, strings.Join(missing, ", "), status.Counters)
	}
	return nil
}

// address is the address of a host.
func (s *site) address(host string) netip.Addr {
	site, _ := lab.SiteOf(host)
	return site.Addr
}

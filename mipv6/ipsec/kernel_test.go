package ipsec_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/mipv6/esp"
	"github.com/vanycast/vanycast/mipv6/ipsec"
	"github.com/vanycast/vanycast/mipv6/mhsock"
	"github.com/vanycast/vanycast/mipv6/tcbpf"
	"github.com/vanycast/vanycast/mipv6/xfrm"
	"github.com/vanycast/vanycast/tests/lab"
)

// The network of the tests against a kernel's ESP, one end ours, one the
// kernel's:
//
//	replica ── router ── agent      client beside the router
//	::1:10     │         9::ff      contact address 9::1
//	         client ::a:10
type kernelNet struct {
	router, replica, agent, client *lab.Host
}

var clientAddr = netip.MustParseAddr("2001:db8:a::10")

func newKernelNet(t *testing.T) kernelNet {
	n := lab.New(t)
	k := kernelNet{n.Host("router"), n.Host("replica"), n.Host("agent"), n.Host("client")}
	k.router.Sysctl("net.ipv6.conf.all.forwarding", "1")
	k.agent.Sysctl("net.ipv6.conf.all.forwarding", "1")
	for _, l := range []struct {
		host         *lab.Host
		addr, router string
	}{{k.replica, pair.CareOf.String(), "2001:db8:1::1"}, {k.agent, pair.HomeAgent.String(), "2001:db8:9::fe"}, {k.client, clientAddr.String(), "2001:db8:a::1"}} {
		n.Link(k.router, l.host, lab.Names(l.host.Name(), "eth0"), lab.Wire())
		k.router.Addr(l.host.Name(), netip.MustParsePrefix(l.router+"/64"))
		l.host.Addr("eth0", netip.MustParsePrefix(l.addr+"/64"))
		l.host.Route(netip.MustParsePrefix("::/0"), netip.MustParseAddr(l.router))
	}
	k.router.Route(netip.PrefixFrom(pair.Home, 128), pair.HomeAgent)
	return k
}

// needESP skips the test on a kernel without ESP, naming the option; tests/uml
// runs it on one that has it.
func needESP(t *testing.T, h *lab.Host) {
	t.Helper()
	out, err := xfrmCommand(t, h, "state", "add", "src", "2001:db8::1", "dst", "2001:db8::2", "proto", "esp", "spi", "256", "mode", "transport",
		"enc", "cbc(aes)", "0x"+strings.Repeat("00", 16), "auth", "hmac(sha256)", "0x"+strings.Repeat("00", 32))
	if err == nil {
		out, err = xfrmCommand(t, h, "state", "delete", "src", "2001:db8::1", "dst", "2001:db8::2", "proto", "esp", "spi", "256")
	}
	if err != nil {
		t.Skipf("CONFIG_INET6_ESP, CONFIG_XFRM_USER or an algorithm is missing: %s", out)
	}
}

func xfrmCommand(t *testing.T, h *lab.Host, args ...string) (string, error) {
	t.Helper()
	out, err := h.Command(t.Context(), "ip", append([]string{"xfrm"}, args...)...).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// kernelEnd is an end whose ESP is the kernel's: what RFC 3776 §3 and §4.2 say, in
// the words of ip-xfrm(8). Whole packets of ours have the protocol 255 for it.
type kernelEnd struct {
	t *testing.T
	h *lab.Host
	g ipsec.Generation
}

func (k kernelEnd) state(p ipsec.Purpose, src, dst netip.Addr, mode string) {
	k.t.Helper()
	a := k.g.Associations[p]
	key := hex.EncodeToString(a.Key.Expose())
	args := []string{"state", "add", "src", src.String(), "dst", dst.String(), "proto", "esp", "spi", fmt.Sprint(a.SPI),
		"reqid", fmt.Sprint(uint(p) + 1), "mode", mode, "replay-window", "32"}
	if k.g.Algorithm == esp.AESGCM {
		args = append(args, "aead", "rfc4106(gcm(aes))", "0x"+key, "128")
	} else {
		cut := len(key) - 64
		args = append(args, "enc", "cbc(aes)", "0x"+key[:cut], "auth-trunc", "hmac(sha256)", "0x"+key[cut:], "128")
	}
	if out, err := xfrmCommand(k.t, k.h, args...); err != nil {
		k.t.Fatalf("ip xfrm state: %v: %s", err, out)
	}
}

// policy wants what matches selector (as in "src A dst B proto 135") to have come,
// or to leave, by an association.
func (k kernelEnd) policy(p ipsec.Purpose, direction, selector, priority string, src, dst netip.Addr, mode string) {
	k.t.Helper()
	args := append([]string{"policy", "add", "dir", direction}, strings.Fields(selector)...)
	args = append(args, "priority", priority, "tmpl")
	if mode == "tunnel" {
		args = append(args, "src", src.String(), "dst", dst.String())
	}
	args = append(args, "proto", "esp", "reqid", fmt.Sprint(uint(p)+1), "mode", mode)
	if out, err := xfrmCommand(k.t, k.h, args...); err != nil {
		k.t.Fatalf("ip xfrm policy: %v: %s", err, out)
	}
}

func (k kernelEnd) agent() {
	home, careOf, agent := pair.Home, pair.CareOf, pair.HomeAgent
	k.state(ipsec.Update, home, agent, "transport")
	k.policy(ipsec.Update, "in", fmt.Sprintf("src %v dst %v proto 135", home, agent), "10", home, agent, "transport")
	k.state(ipsec.Acknowledgement, agent, careOf, "transport")
	k.policy(ipsec.Acknowledgement, "out", fmt.Sprintf("src %v dst %v proto 255", agent, careOf), "10", agent, careOf, "transport")
	k.state(ipsec.TestInit, careOf, agent, "tunnel")
	k.policy(ipsec.TestInit, "fwd", fmt.Sprintf("src %v dst ::/0 proto 135", home), "20", careOf, agent, "tunnel")
	k.state(ipsec.Test, agent, careOf, "tunnel")
	k.policy(ipsec.Test, "out", fmt.Sprintf("src ::/0 dst %v proto 135", home), "20", agent, careOf, "tunnel")
}

func (k kernelEnd) replica() {
	home, careOf, agent := pair.Home, pair.CareOf, pair.HomeAgent
	k.h.IP("-6", "addr", "add", home.String()+"/128", "dev", "lo", "nodad", "home")
	// The type 2 routing header is the kernel's, too (mip6).
	for _, args := range [][]string{
		{"state", "add", "src", "::", "dst", home.String(), "proto", "route2", "reqid", "0", "mode", "ro", "coa", careOf.String(), "flag", "wildrecv"},
		{"policy", "add", "dir", "in", "src", "::/0", "dst", home.String(), "proto", "135", "ptype", "sub", "priority", "2",
			"tmpl", "proto", "route2", "mode", "ro", "level", "use"},
	} {
		if out, err := xfrmCommand(k.t, k.h, args...); err != nil {
			k.t.Fatalf("ip xfrm %v: %v: %s", args, err, out)
		}
	}
	k.state(ipsec.Update, careOf, agent, "transport")
	k.policy(ipsec.Update, "out", fmt.Sprintf("src %v dst %v proto 255", careOf, agent), "10", careOf, agent, "transport")
	k.state(ipsec.Acknowledgement, agent, home, "transport")
	k.policy(ipsec.Acknowledgement, "in", fmt.Sprintf("src %v dst %v proto 135", agent, home), "10", agent, home, "transport")
	k.state(ipsec.TestInit, careOf, agent, "tunnel")
	k.policy(ipsec.TestInit, "out", fmt.Sprintf("src %v dst ::/0 proto 255", home), "20", careOf, agent, "tunnel")
	k.state(ipsec.Test, agent, careOf, "tunnel")
	k.policy(ipsec.Test, "in", fmt.Sprintf("src ::/0 dst %v proto 135", home), "20", agent, careOf, "tunnel")
}

// open makes the sockets of an end, ours with an Endpoint.
func open(t *testing.T, h *lab.Host, e *ipsec.Endpoint, taken <-chan []byte) mhsock.Conn {
	t.Helper()
	var conn mhsock.Conn
	if err := h.Do(func() error {
		s, err := mhsock.Open(nil)
		if err != nil || e == nil {
			conn = s
			return err
		}
		w, err := mhsock.OpenESP(nil)
		if err != nil {
			return err
		}
		c := ipsec.NewConn(e, s, w)
		if taken != nil {
			c.Forward(taken)
		}
		conn = c
		return nil
	}); err != nil {
		t.Fatalf("sockets of %s: %v", h.Name(), err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	return conn
}

func bpf(t *testing.T, h *lab.Host) (p *tcbpf.Plane) {
	t.Helper()
	if err := h.Do(func() (err error) { p, err = tcbpf.New(tcbpf.Config{Interface: "eth0"}); return err }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func native(t *testing.T, h *lab.Host) (p *xfrm.Plane) {
	t.Helper()
	if err := h.Do(func() (err error) {
		p, err = xfrm.New(xfrm.Config{Interface: "eth0", Protected: []netip.Addr{pair.Home}})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func exchange(t *testing.T, what string, from, to mhsock.Conn, p mipv6.Packet, m mipv6.Message, want mhsock.Received) {
	t.Helper()
	p.HopLimit = 64
	if err := p.Carry(m, nil); err != nil {
		t.Fatal(err)
	}
	if err := from.Send(&p); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	r, err := to.Receive(ctx)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if r.Src != want.Src || r.Dst != want.Dst || r.CareOf != want.CareOf || !bytes.Equal(r.Message, p.Payload) {
		t.Errorf("%s: received %+v, want %+v with %x", what, r, want, p.Payload)
	}
}

// explain logs what a kernel did with packets.
func explain(t *testing.T, h *lab.Host) {
	ctx := context.WithoutCancel(t.Context())
	for _, command := range []string{"cat /proc/net/xfrm_stat", "ip -s xfrm policy", "ip -s xfrm state", "tc -s filter show dev eth0 ingress"} {
		args := strings.Fields(command)
		out, err := h.Output(ctx, args[0], args[1:]...)
		if args[0] == "cat" {
			var grown []string
			for line := range strings.Lines(out) {
				if f := strings.Fields(line); len(f) == 2 && f[1] != "0" {
					grown = append(grown, line)
				}
			}
			out = strings.Join(grown, "")
		}
		t.Logf("%s: %s: %v\n%s", h.Name(), command, err, out)
	}
}

// declared is an end whose ESP is the kernel's, told by an Endpoint.
func declared(t *testing.T, h *lab.Host, side ipsec.Side, g ipsec.Generation) (*ipsec.Endpoint, mhsock.Conn) {
	t.Helper()
	var e *ipsec.Endpoint
	var conn mhsock.Conn
	if err := h.Do(func() error {
		kernel, err := xfrm.NewESP()
		if err != nil {
			return err
		}
		t.Cleanup(func() {
			if err := kernel.Close(); err != nil {
				t.Error(err)
			}
			for _, what := range []string{"state", "policy"} {
				left, err := h.Output(context.WithoutCancel(t.Context()), "ip", "xfrm", what)
				if err != nil || strings.Contains(left, "proto esp") {
					t.Errorf("left behind: %v\n%s", err, left)
				}
			}
		})
		m := &memory{}
		if e, err = ipsec.New(ipsec.Config{Kernel: kernel, Pairs: []ipsec.PairConfig{{Pair: pair, Side: side, Generations: []ipsec.Generation{g}, Store: m}}}); err != nil {
			return err
		}
		s, err := mhsock.Open(nil)
		if err == nil {
			conn = ipsec.NewKernelConn(e, s)
		}
		return err
	}); err != nil {
		t.Fatalf("the kernel of %s: %v", h.Name(), err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	return e, conn
}

// Our ESP and the kernel's are the same on the wire: each end ours and the other
// the kernel's, told by ip-xfrm(8) and by an Endpoint, both algorithms, all four
// associations; and tshark, which is neither, opens all of it with the keys.
func TestKernel(t *testing.T) {
	for _, algorithm := range esp.Algorithms() {
		for side, name := range map[ipsec.Side]string{ipsec.Replica: "our replica", ipsec.HomeAgent: "our home agent"} {
			for by, declare := range map[string]bool{"ip": false, "endpoint": true} {
				t.Run(string(algorithm)+"/"+name+"/"+by, func(t *testing.T) {
					testKernel(t, algorithm, side, declare)
				})
			}
		}
	}
}

func testKernel(t *testing.T, algorithm esp.Algorithm, side ipsec.Side, declare bool) {
	k := newKernelNet(t)
	needESP(t, k.agent)
	g := generate(t, 1, algorithm)
	e := newEndpoint(t, side, &memory{}, g)
	contact := dataplane.Contact{Home: pair.Home, CareOf: pair.CareOf, HomeAgent: pair.HomeAgent}
	tunnel := dataplane.Tunnel{Home: pair.Home, CareOf: pair.CareOf, HomeAgent: pair.HomeAgent}
	var replica, agent mhsock.Conn
	var setTunnel func() error
	if side == ipsec.Replica {
		if err := bpf(t, k.replica).SetContact(contact); err != nil {
			t.Fatal(err)
		}
		p := native(t, k.agent)
		replica = open(t, k.replica, e, nil)
		if declare {
			var end *ipsec.Endpoint
			end, agent = declared(t, k.agent, ipsec.HomeAgent, g)
			setTunnel = func() error { return ipsec.NewPlane(end, p).SetTunnel(tunnel) }
		} else {
			setTunnel = func() error { return p.SetTunnel(tunnel) }
			kernelEnd{t, k.agent, g}.agent()
			agent = open(t, k.agent, nil, nil)
		}
	} else {
		p := bpf(t, k.agent)
		setTunnel = func() error { return ipsec.NewPlane(e, p).SetTunnel(tunnel) }
		agent = open(t, k.agent, e, p.Taken())
		if declare {
			if err := native(t, k.replica).SetContact(contact); err != nil {
				t.Fatal(err)
			}
			_, replica = declared(t, k.replica, ipsec.Replica, g)
		} else {
			kernelEnd{t, k.replica, g}.replica()
			replica = open(t, k.replica, nil, nil)
		}
	}
	t.Cleanup(func() {
		if t.Failed() {
			explain(t, k.replica)
			explain(t, k.agent)
		}
	})
	client := open(t, k.client, nil, nil)
	capture, err := k.router.Capture("agent", lab.Filter("ip6"))
	if err != nil {
		t.Fatal(err)
	}
	const rounds = 3
	for i := range uint16(rounds) {
		exchange(t, "Binding Update", replica, agent,
			mipv6.Packet{Src: pair.CareOf, Dst: pair.HomeAgent, HomeAddress: pair.Home},
			&mipv6.BindingUpdate{Sequence: i, Acknowledge: true, HomeRegistration: true, Lifetime: time.Minute,
				Options: []mipv6.Option{&mipv6.AlternateCareOf{Addr: pair.CareOf}}},
			mhsock.Received{Src: pair.Home, CareOf: pair.CareOf, Dst: pair.HomeAgent})
		exchange(t, "Binding Acknowledgement", agent, replica,
			mipv6.Packet{Src: pair.HomeAgent, Dst: pair.CareOf, RoutingHome: pair.Home},
			&mipv6.BindingAcknowledgement{Sequence: i, Lifetime: time.Minute},
			mhsock.Received{Src: pair.HomeAgent, Dst: pair.Home})
		if err := setTunnel(); err != nil {
			t.Fatal(err)
		}
		exchange(t, "Home Test Init", replica, client,
			mipv6.Packet{Src: pair.Home, Dst: clientAddr}, &mipv6.HomeTestInit{Cookie: mipv6.Cookie{byte(i)}},
			mhsock.Received{Src: pair.Home, Dst: clientAddr})
		exchange(t, "Home Test", client, replica,
			mipv6.Packet{Src: clientAddr, Dst: pair.Home}, &mipv6.HomeTest{Cookie: mipv6.Cookie{byte(i)}, NonceIndex: i},
			mhsock.Received{Src: clientAddr, Dst: pair.Home})
	}
	if err := capture.Stop(); err != nil {
		t.Fatal(err)
	}
	for _, p := range ipsec.Purposes() {
		a := g.Associations[p]
		capture.Decrypt(lab.Association{SPI: a.SPI, Algorithm: string(g.Algorithm), Key: hex.EncodeToString(a.Key.Expose())})
	}
	for i, filter := range []string{
		"mip6.mhtype == 5 && ipv6.opt.mipv6.home_address", "mip6.mhtype == 6 && ipv6.routing.type == 2",
		"mip6.mhtype == 1", "mip6.mhtype == 3",
	} {
		spi := g.Associations[i].SPI
		n, err := capture.Count(t.Context(), fmt.Sprintf("%s && esp.spi == %#x && esp.icv_good == 1", filter, spi))
		if err != nil || n != rounds {
			t.Errorf("%v: tshark opens %d packets of %d, %v", ipsec.Purpose(i), n, rounds, err)
		}
		// What package esp has as golden vectors came from here.
		rows, err := capture.Fields(t.Context(), fmt.Sprintf("esp.spi == %#x", spi), "esp.sequence", "esp.iv", "esp.encrypted_data", "esp.icv")
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%v: key %x SPI %#x: sequence number, initialisation vector, payload, check value: %q",
			ipsec.Purpose(i), g.Associations[i].Key.Expose(), spi, rows)
	}
}

// What a dead process left in the kernel is gone with the next start, with IPsec or
// without.
func TestKernelLeftovers(t *testing.T) {
	for name, next := range map[string]func() (io.Closer, error){
		"ESP":   func() (io.Closer, error) { return xfrm.NewESP() },
		"plane": func() (io.Closer, error) { return xfrm.New(xfrm.Config{Interface: "lo"}) },
	} {
		t.Run(name, func(t *testing.T) {
			h := lab.New(t).Host("host")
			needESP(t, h)
			if err := h.Do(func() error {
				dead, err := xfrm.NewESP()
				if err != nil {
					return err
				}
				defer dead.Close()
				if err := dead.Declare([]ipsec.KernelPair{{Pair: pair, Side: ipsec.HomeAgent, Mark: 7, Generations: []ipsec.Generation{generate(t, 1, esp.AESGCM)}, Tunnel: true}}); err != nil {
					return err
				}
				for _, want := range []int{4, 0} {
					out, err := xfrmCommand(t, h, "state")
					if n := strings.Count(out, "proto esp"); err != nil || n != want {
						t.Errorf("%d associations, want %d: %v\n%s", n, want, err, out)
					}
					out, err = xfrmCommand(t, h, "policy")
					if n := strings.Count(out, "proto esp"); err != nil || n != want {
						t.Errorf("%d policies, want %d: %v\n%s", n, want, err, out)
					}
					if want > 0 {
						alive, err := next()
						if err != nil {
							return err
						}
						defer alive.Close()
					}
				}
				return nil
			}); err != nil {
				t.Error(err)
			}
		})
	}
}

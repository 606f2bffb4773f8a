package mhsock

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/tests/lab"
)

// The tests' network, the kernel as it is, without any data plane:
//
//	┌───┐ eth0          eth0 ┌───┐
//	│ a ├────────────────────┤ b │
//	└───┘ ::a            ::b └───┘
//	      home, on lo        unreachable: 2001:db8:dead::/64
var (
	addrA  = netip.MustParseAddr("2001:db8:ab::a")
	addrB  = netip.MustParseAddr("2001:db8:ab::b")
	homeA  = netip.MustParseAddr("2001:db8:9::1")
	nobody = netip.MustParseAddr("2001:db8:dead::1")

	compareAddr = cmpopts.EquateComparable(netip.Addr{})
)

const patience = 20 * time.Second

func network(t *testing.T) (a, b *lab.Host) {
	t.Helper()
	n := lab.New(t)
	a, b = n.Host("a"), n.Host("b")
	n.Link(a, b)
	a.Addr("eth0", netip.PrefixFrom(addrA, 64))
	b.Addr("eth0", netip.PrefixFrom(addrB, 64))
	a.Addr("lo", netip.PrefixFrom(homeA, 128))
	a.Route(netip.MustParsePrefix("2001:db8:dead::/64"), addrB)
	b.Route(netip.PrefixFrom(homeA, 128), addrA)
	b.Sysctl("net.ipv6.conf.all.forwarding", "1")
	b.IP("-6", "route", "add", "unreachable", "2001:db8:dead::/64")
	return a, b
}

// kernelAnswers tells whether the kernel, which has Mobile IPv6 itself, takes the
// Home Address option and refuses Mobility Headers that are too short. Package xfrm
// could tell, but imports this one.
func kernelAnswers(t *testing.T, h *lab.Host) bool {
	t.Helper()
	_, err := h.Output(t.Context(), "ip", "xfrm", "state", "add", "src", nobody.String(), "dst", addrB.String(),
		"proto", "hao", "reqid", "0", "mode", "ro", "coa", addrA.String())
	if err != nil && !strings.Contains(err.Error(), "type not found") && !strings.Contains(err.Error(), "not supported") {
		t.Fatal(err)
	}
	return err == nil
}

func open(t *testing.T, h *lab.Host) *Socket {
	t.Helper()
	var s *Socket
	if err := h.Do(func() (err error) { s, err = Open(nil); return err }); err != nil {
		t.Fatalf("Open on %s: %v", h.Name(), err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

func send(t *testing.T, s *Socket, p *mipv6.Packet, m mipv6.Message) {
	t.Helper()
	if err := p.Carry(m, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Send(p); err != nil {
		t.Fatal(err)
	}
}

func receive(t *testing.T, s *Socket) Received {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := s.Receive(ctx)
	if err != nil {
		t.Fatalf("Receive: %v", err)
	}
	return r
}

func receiveError(t *testing.T, s *Socket) ICMPError {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	e, err := s.ReceiveError(ctx)
	if err != nil {
		t.Fatalf("ReceiveError: %v", err)
	}
	return e
}

// A message travels both ways, its checksum accepted by the kernel, and leaves
// from the source that the packet says, be it not the interface's.
func TestExchange(t *testing.T) {
	a, b := network(t)
	sa, sb := open(t, a), open(t, b)
	for _, src := range []netip.Addr{addrA, homeA} {
		p := &mipv6.Packet{Src: src, Dst: addrB}
		send(t, sa, p, &mipv6.HomeTestInit{Cookie: mipv6.Cookie{1, 2, 3}})
		r := receive(t, sb)
		if r.Interface == 0 {
			t.Errorf("no interface index")
		}
		want := Received{Src: src, Dst: addrB, Interface: r.Interface, Message: p.Payload}
		if d := cmp.Diff(want, r, compareAddr); d != "" {
			t.Fatalf("received (-want +got):\n%s", d)
		}
		back := &mipv6.Packet{Src: addrB, Dst: src}
		send(t, sb, back, &mipv6.HomeTest{NonceIndex: 7})
		if r := receive(t, sa); !bytes.Equal(r.Message, back.Payload) || r.Src != addrB || r.Dst != src {
			t.Errorf("received %+v, want %x from %v to %v", r, back.Payload, addrB, src)
		}
	}
}

// A Home Address option that the data plane has swapped and retyped is the
// care-of address; the checksum is over the home address.
func TestRetypedHomeAddress(t *testing.T) {
	a, b := network(t)
	sa, sb := open(t, a), open(t, b)
	p := &mipv6.Packet{Src: addrA, Dst: addrB, HomeAddress: homeA, HopLimit: 64}
	if err := p.Carry(&mipv6.BindingUpdate{Sequence: 5, Acknowledge: true}, nil); err != nil {
		t.Fatal(err)
	}
	raw, err := p.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	// As tc ingress at b would: home address into the header, care-of address
	// into the option, a type that the kernel skips.
	home, careOf := homeA.As16(), addrA.As16()
	option := bytes.Index(raw, append([]byte{mipv6.OptionHomeAddress, 16}, home[:]...))
	raw[option] = optionRetyped
	copy(raw[option+2:], careOf[:])
	copy(raw[8:], home[:])
	if err := sa.raw.Send(raw, addrA, addrB); err != nil {
		t.Fatal(err)
	}
	r := receive(t, sb)
	want := Received{Src: homeA, Dst: addrB, CareOf: addrA, Interface: r.Interface, Message: p.Payload}
	if d := cmp.Diff(want, r, compareAddr); d != "" {
		t.Errorf("received (-want +got):\n%s", d)
	}
	if r.Source() != addrA {
		t.Errorf("Source is %v", r.Source())
	}
}

// A wrong checksum does not come through; what follows it does.
func TestBadChecksum(t *testing.T) {
	a, b := network(t)
	sa, sb := open(t, a), open(t, b)
	bad := &mipv6.Packet{Src: addrA, Dst: addrB}
	if err := bad.Carry(&mipv6.HomeTestInit{Cookie: mipv6.Cookie{1}}, nil); err != nil {
		t.Fatal(err)
	}
	bad.Payload[8]++
	if err := sa.Send(bad); err != nil {
		t.Fatal(err)
	}
	good := &mipv6.Packet{Src: addrA, Dst: addrB}
	send(t, sa, good, &mipv6.HomeTestInit{Cookie: mipv6.Cookie{2}})
	if r := receive(t, sb); !bytes.Equal(r.Message, good.Payload) {
		t.Errorf("received %x, want %x", r.Message, good.Payload)
	}
}

// RFC 6275 §11.3.5: how a peer without Mobile IPv6 gives itself away, and what
// only looks like it.
func TestErrors(t *testing.T) {
	a, b := network(t)
	sa := open(t, a)
	for _, tt := range []struct {
		name   string
		p      mipv6.Packet
		m      mipv6.Message
		want   ICMPError
		absent bool
	}{
		{"no Mobility Header at the peer",
			mipv6.Packet{Src: addrA, Dst: addrB}, &mipv6.HomeTestInit{},
			ICMPError{From: addrB, Type: TypeParameterProblem, Code: CodeUnrecognizedNextHeader, Pointer: 6, Src: addrA, Dst: addrB,
				MHType: mipv6.TypeHomeTestInit, Mobility: true}, true},
		{"no Home Address option at the peer",
			mipv6.Packet{Src: addrA, Dst: addrB, HomeAddress: homeA}, &mipv6.BindingUpdate{Sequence: 1},
			ICMPError{From: addrB, Type: TypeParameterProblem, Code: CodeUnrecognizedOption, Pointer: 46, Src: addrA, Dst: addrB, Home: homeA,
				MHType: mipv6.TypeBindingUpdate, Mobility: true}, true},
		{"no such host",
			mipv6.Packet{Src: addrA, Dst: nobody}, &mipv6.CareOfTestInit{},
			ICMPError{From: addrB, Type: TypeDestinationUnreachable, Code: 0, Src: addrA, Dst: nobody,
				MHType: mipv6.TypeCareOfTestInit, Mobility: true}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.p.HomeAddress.IsValid() && kernelAnswers(t, b) {
				t.Skip("this kernel has Mobile IPv6 and knows the Home Address option")
			}
			send(t, sa, &tt.p, tt.m)
			tt.want.Payload = tt.p.Payload
			got := receiveError(t, sa)
			if d := cmp.Diff(tt.want, got, compareAddr); d != "" {
				t.Errorf("error (-want +got):\n%s", d)
			}
			if got.NoMobileIPv6() != tt.absent {
				t.Errorf("NoMobileIPv6 is %v", !tt.absent)
			}
		})
	}
}

// A Mobility Header that is wrong draws the parameter problem that RFC 6275
// §9.2 wants, and its sender's kernel accepts our checksum on it. A kernel with
// Mobile IPv6 answers by itself, the same.
func TestRefusalArrives(t *testing.T) {
	a, b := network(t)
	sa, sb := open(t, a), open(t, b)
	p := &mipv6.Packet{Src: addrA, Dst: addrB}
	if err := p.Carry(&mipv6.BindingRefreshRequest{}, nil); err != nil {
		t.Fatal(err)
	}
	p.Payload[2] = byte(mipv6.TypeBindingUpdate) // too short to be one
	p.Payload[4], p.Payload[5] = 0, 0
	sum := mipv6.Checksum(p.Payload, mipv6.ProtocolMobility, addrA, addrB)
	p.Payload[4], p.Payload[5] = byte(sum>>8), byte(sum)
	if err := sa.Send(p); err != nil {
		t.Fatal(err)
	}
	if !kernelAnswers(t, b) {
		r := receive(t, sb)
		_, err := mipv6.Parse(r.Message)
		answer := Refusal(r, err)
		if answer == nil {
			t.Fatalf("no answer to %v", err)
		}
		if err := sb.Send(answer); err != nil {
			t.Fatal(err)
		}
	}
	want := ICMPError{From: addrB, Type: TypeParameterProblem, Pointer: 41, Src: addrA, Dst: addrB,
		MHType: mipv6.TypeBindingUpdate, Mobility: true, Payload: p.Payload}
	if d := cmp.Diff(want, receiveError(t, sa), compareAddr); d != "" {
		t.Errorf("error (-want +got):\n%s", d)
	}
}

func TestSendErrors(t *testing.T) {
	a, _ := network(t)
	s := open(t, a)
	p := &mipv6.Packet{Src: addrB, Dst: addrB, NextHeader: mipv6.ProtocolNone} // not our address
	if err := s.Send(p); err == nil {
		t.Errorf("Send from an address of somebody else: no error")
	}
	if err := s.Send(&mipv6.Packet{}); err == nil {
		t.Errorf("Send without addresses: no error")
	}
}

// The end of a context ends that Receive only; Close ends all, and every later one.
func TestReceiveEnds(t *testing.T) {
	a, b := network(t)
	sa, sb := open(t, a), open(t, b)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	go func() { _, err := sb.Receive(ctx); ended <- err }()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Receive: %v, want %v", err, context.Canceled)
	}
	if _, err := sb.Receive(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Receive with an ended context: %v", err)
	}
	p := &mipv6.Packet{Src: addrA, Dst: addrB}
	send(t, sa, p, &mipv6.BindingRefreshRequest{})
	receive(t, sb)

	go func() { _, err := sb.Receive(t.Context()); ended <- err }()
	go func() { _, err := sb.ReceiveError(t.Context()); ended <- err }()
	if err := sb.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	for range 2 {
		if err := <-ended; !errors.Is(err, net.ErrClosed) {
			t.Errorf("after Close: %v, want %v", err, net.ErrClosed)
		}
	}
	if err := sb.Send(p); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Send after Close: %v, want %v", err, net.ErrClosed)
	}
	if err := sb.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

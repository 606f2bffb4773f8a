package vanycast_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/vanycast/vanycast"
	"github.com/vanycast/vanycast/handoff"
)

// TestHandoff: a client goes to another replica and back with its state, while
// its own connection stays what it is.
func TestHandoff(t *testing.T) {
	r := newRig(t, nil, glass, reich)
	g, re := r.replicas[glass], r.replicas[reich]
	lg, lr := g.listen(), re.listen()
	client := g.dial()
	send(t, client, "one")

	a := accept(t, lg)
	if a.HandedOff() || a.State() != nil || a.ID() == 0 {
		t.Errorf("fresh client: handed off %t, state %q, ID %d", a.HandedOff(), a.State(), a.ID())
	}
	if got, want := a.RemoteAddr().String(), client.LocalAddr().String(); got != want {
		t.Errorf("RemoteAddr %s, want %s", got, want)
	}
	if got, want := a.LocalAddr().String(), lg.Addr().String(); got != want {
		t.Errorf("LocalAddr %s, want %s", got, want)
	}
	expect(t, a, "o")
	a.SetState([]byte("o"))
	if err := a.Handoff(t.Context(), reich); err != nil {
		t.Fatal(err)
	}
	if n, err := a.Read(make([]byte, 1)); n != 0 || !errors.Is(err, vanycast.ErrHandedOff) {
		t.Errorf("Read after the handoff: %d, %v", n, err)
	}
	if n, err := a.Write([]byte("x")); n != 0 || !errors.Is(err, vanycast.ErrHandedOff) {
		t.Errorf("Write after the handoff: %d, %v", n, err)
	}
	if err := a.SetDeadline(time.Now()); !errors.Is(err, vanycast.ErrHandedOff) {
		t.Errorf("SetDeadline after the handoff: %v", err)
	}
	if err := a.Handoff(t.Context(), reich); !errors.Is(err, vanycast.ErrHandedOff) {
		t.Errorf("Handoff after the handoff: %v", err)
	}
	if err := a.Close(); err != nil {
		t.Errorf("Close after the handoff: %v", err)
	}

	b := accept(t, lr)
	if !b.HandedOff() || b.Donor() != glass || string(b.State()) != "o" || b.ID() != a.ID() {
		t.Errorf("client: handed off %t, donor %v, state %q, ID %d; was %d", b.HandedOff(), b.Donor(), b.State(), b.ID(), a.ID())
	}
	expect(t, b, "ne")
	send(t, b, "two")
	expect(t, client, "two")

	b.SetState(bytes.Repeat([]byte("s"), vanycast.MaxState))
	if err := b.Handoff(t.Context(), glass); err != nil {
		t.Fatal(err)
	}
	c := accept(t, lg)
	if len(c.State()) != vanycast.MaxState {
		t.Errorf("state of %d bytes", len(c.State()))
	}
	send(t, client, "three")
	expect(t, c, "three")
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if rest, err := io.ReadAll(client); err != nil || len(rest) > 0 {
		t.Errorf("client reads %q, %v; want its end", rest, err)
	}
}

// TestHandoffFails: whatever goes wrong, the application keeps the client, and
// those who read and write never notice.
func TestHandoffFails(t *testing.T) {
	r := newRig(t, nil, glass, reich)
	g, re := r.replicas[glass], r.replicas[reich]
	lg := g.listen()
	client := g.dial()
	a := accept(t, lg)

	got := make(chan string)
	go func() {
		b := make([]byte, 4)
		n, _ := io.ReadFull(a, b)
		got <- string(b[:n])
	}()
	for _, tt := range []struct {
		name   string
		target netip.Addr
		before func()
		want   error
	}{
		{"no application", reich, nil, vanycast.ErrRefused},
		{"unreachable", dead, nil, vanycast.ErrUnreachable},
		{"not a replica", netip.MustParseAddr("2001:db8::1"), nil, vanycast.ErrUnknownReplica},
		{"policy finds nobody", netip.Addr{}, func() { g.listen(vanycast.WithNeverSelf(), vanycast.WithPolicy("random")) }, vanycast.ErrNoTarget},
		{"no Mobile IPv6", reich, func() {
			re.set(func(p *replica) { p.refuse = &handoff.RefusedError{Target: reich, Reason: handoff.ReasonNoMobileIPv6} })
		}, vanycast.ErrNoMobileIPv6},
		{"no Mobile IPv6, known before", reich, nil, vanycast.ErrNoMobileIPv6},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.before != nil {
				tt.before()
			}
			err := a.Handoff(t.Context(), tt.target)
			var he *vanycast.HandoffError
			if !errors.Is(err, tt.want) || !errors.As(err, &he) {
				t.Fatalf("Handoff: %v (%+v), want %v", err, he, tt.want)
			}
			if tt.target.IsValid() && he.Target != tt.target {
				t.Errorf("target %v, want %v", he.Target, tt.target)
			}
			send(t, a, "still here")
			expect(t, client, "still here")
		})
	}
	a.SetState(make([]byte, vanycast.MaxState+1))
	if err := a.Handoff(t.Context(), reich); !errors.Is(err, vanycast.ErrStateTooLong) {
		t.Errorf("state too long: %v", err)
	}
	send(t, client, "read")
	if s := <-got; s != "read" {
		t.Errorf("the waiting reader got %q", s)
	}
}

// TestHandoffInterrupts: reader and writer of a client that leaves return
// ErrHandedOff, and what the writer counted is what the client gets.
func TestHandoffInterrupts(t *testing.T) {
	r := newRig(t, nil, glass, reich)
	g, re := r.replicas[glass], r.replicas[reich]
	lg, lr := g.listen(), re.listen()
	client := g.dial()
	a := accept(t, lg)

	data := make([]byte, 16<<20) // more than the buffers take
	rng := rand.NewChaCha8([32]byte{1})
	rng.Read(data)
	type result struct {
		n   int
		err error
	}
	wrote, read := make(chan result), make(chan result)
	go func() {
		n, err := a.Write(data)
		wrote <- result{n, err}
	}()
	go func() {
		n, err := a.Read(make([]byte, 1))
		read <- result{n, err}
	}()
	first := make([]byte, 1)
	if _, err := io.ReadFull(client, first); err != nil {
		t.Fatal(err)
	}
	if err := a.Handoff(t.Context(), reich); err != nil {
		t.Fatal(err)
	}
	if r := <-read; r.n != 0 || !errors.Is(r.err, vanycast.ErrHandedOff) {
		t.Errorf("Read: %+v", r)
	}
	w := <-wrote
	if w.n == 0 || w.n == len(data) || !errors.Is(w.err, vanycast.ErrHandedOff) {
		t.Fatalf("Write: %d of %d bytes, %v", w.n, len(data), w.err)
	}
	b := accept(t, lr)
	go func() {
		b.Write(data[w.n:])
		b.Close()
	}()
	rest, err := io.ReadAll(client)
	if err != nil || !bytes.Equal(append(first, rest...), data) {
		t.Errorf("client got %d bytes, %v; equal %t; want %d", len(rest)+1, err, bytes.Equal(append(first, rest...), data), len(data))
	}
}

// TestHandoffFailsWhileWriting: a write that a failed handoff interrupted goes on
// where it was, and another one's bytes do not come between.
func TestHandoffFailsWhileWriting(t *testing.T) {
	g := newRig(t, nil, glass).replicas[glass]
	ln := g.listen()
	client := g.dial()
	a := accept(t, ln)
	const size = 8 << 20
	var writers sync.WaitGroup
	for i := range 2 {
		writers.Go(func() {
			if n, err := a.Write(bytes.Repeat([]byte{'a' + byte(i)}, size)); n != size || err != nil {
				t.Errorf("Write: %d, %v", n, err)
			}
		})
	}
	go func() { writers.Wait(); a.CloseWrite() }()
	failed := make(chan struct{})
	go func() {
		defer close(failed)
		for range 20 {
			if err := a.Handoff(t.Context(), dead); !errors.Is(err, vanycast.ErrUnreachable) {
				t.Errorf("Handoff: %v", err)
			}
		}
	}()
	all, err := io.ReadAll(client)
	<-failed
	if err != nil || len(all) != 2*size {
		t.Fatalf("client got %d bytes, %v; want %d", len(all), err, 2*size)
	}
	if want := bytes.Repeat(all[:1], size); !bytes.Equal(all[:size], want) || bytes.IndexByte(all[size:], all[0]) >= 0 {
		t.Error("the writes are mixed")
	}
}

// TestHandoffAsync: a handoff that fails later comes back through Accept.
func TestHandoffAsync(t *testing.T) {
	r := newRig(t, nil, glass, reich)
	g, re := r.replicas[glass], r.replicas[reich]
	lg, lr := g.listen(), re.listen()
	client := g.dial()
	a := accept(t, lg)
	a.SetState([]byte("state"))
	if err := a.HandoffAsync(dead); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Read(make([]byte, 1)); !errors.Is(err, vanycast.ErrHandedOff) {
		t.Errorf("Read: %v", err)
	}
	b := accept(t, lg)
	if target, failed := b.FailedHandoff(); !failed || target != dead || !errors.Is(b.HandoffErr(), vanycast.ErrUnreachable) {
		t.Errorf("FailedHandoff: %v, %t, %v", target, failed, b.HandoffErr())
	}
	if !b.HandedOff() || string(b.State()) != "state" {
		t.Errorf("handed off %t, state %q", b.HandedOff(), b.State())
	}
	if err := b.HandoffAsync(netip.MustParseAddr("2001:db8::1")); !errors.Is(err, vanycast.ErrUnknownReplica) {
		t.Errorf("handoff to a stranger: %v", err)
	}
	if err := b.HandoffAsync(reich); err != nil {
		t.Fatal(err)
	}
	c := accept(t, lr)
	if _, failed := c.FailedHandoff(); failed || string(c.State()) != "state" {
		t.Errorf("failed %t, state %q", failed, c.State())
	}
	send(t, c, "done")
	expect(t, client, "done")
}

// TestHandoffToSelf: the policy may choose this replica; no endpoint moves.
func TestHandoffToSelf(t *testing.T) {
	g := newRig(t, nil, glass).replicas[glass]
	ln := g.listen()
	client := g.dial()
	a := accept(t, ln)
	a.SetState([]byte("state"))
	if err := a.Handoff(t.Context(), netip.Addr{}); err != nil {
		t.Fatal(err)
	}
	b := accept(t, ln)
	if !b.HandedOff() || b.Donor() != glass || string(b.State()) != "state" {
		t.Errorf("handed off %t, donor %v, state %q", b.HandedOff(), b.Donor(), b.State())
	}
	send(t, b, "done")
	expect(t, client, "done")
}

// TestHandoffCanceled: the end of the context ends a handoff that hangs.
func TestHandoffCanceled(t *testing.T) {
	r := newRig(t, nil, glass, reich)
	g := r.replicas[glass]
	g.set(func(p *replica) { p.gate = make(chan struct{}) })
	ln := g.listen()
	r.replicas[reich].listen()
	client := g.dial()
	a := accept(t, ln)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- a.Handoff(ctx, reich) }()
	eventually(t, "the client moves", func() bool {
		cs := g.Clients()
		return len(cs) == 1 && cs[0].State == "moving"
	})
	if err := a.Handoff(t.Context(), reich); !errors.Is(err, vanycast.ErrInHandoff) {
		t.Errorf("second handoff: %v", err)
	}
	// Deadlines count meanwhile, also those that are set meanwhile.
	a.SetReadDeadline(time.Now().Add(time.Hour))
	expired := make(chan error)
	go func() {
		_, err := a.Read(make([]byte, 1))
		expired <- err
	}()
	a.SetReadDeadline(time.Unix(1, 0))
	var ne net.Error
	if err := <-expired; !errors.As(err, &ne) || !ne.Timeout() {
		t.Errorf("Read with a deadline: %v", err)
	}
	a.SetReadDeadline(time.Time{})
	cancel()
	var he *vanycast.HandoffError
	if err := <-done; !errors.As(err, &he) || !errors.Is(err, context.Canceled) {
		t.Errorf("Handoff: %v", err)
	}
	send(t, client, "still here")
	expect(t, a, "still here")
}

// TestCloseDuringHandoff: whatever the outcome, nothing of the client is left.
func TestCloseDuringHandoff(t *testing.T) {
	for _, tt := range []struct {
		name   string
		target netip.Addr
	}{{"success", reich}, {"failure", dead}} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, nil, glass, reich)
			g := r.replicas[glass]
			gate := make(chan struct{})
			g.set(func(p *replica) { p.gate = gate })
			ln, lr := g.listen(), r.replicas[reich].listen()
			client := g.dial()
			a := accept(t, ln)
			done := make(chan error)
			go func() { done <- a.Handoff(t.Context(), tt.target) }()
			eventually(t, "the client moves", func() bool {
				cs := g.Clients()
				return len(cs) == 1 && cs[0].State == "moving"
			})
			if err := a.Close(); err != nil {
				t.Error(err)
			}
			if _, err := a.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
				t.Errorf("Read: %v", err)
			}
			close(gate)
			err := <-done
			if tt.target == reich {
				if err != nil {
					t.Error(err)
				}
				accept(t, lr).Close()
			} else if !errors.Is(err, vanycast.ErrUnreachable) {
				t.Errorf("Handoff: %v", err)
			}
			if b, err := io.ReadAll(client); err != nil || len(b) > 0 {
				t.Errorf("client reads %q, %v; want its end", b, err)
			}
			client.Close()
			eventually(t, "no client at glass", func() bool { return len(g.Clients()) == 0 })
		})
	}
}

// TestConcurrent uses everything at once, for the race detector.
func TestConcurrent(t *testing.T) {
	r := newRig(t, nil, glass, reich)
	g, re := r.replicas[glass], r.replicas[reich]
	go serve(re.listen())
	ln := g.listen()
	for range 20 {
		client := g.dial()
		a := accept(t, ln)
		var wg sync.WaitGroup
		for _, f := range []func(){
			func() { a.Read(make([]byte, 10)) },
			func() { a.Write([]byte("x")) },
			func() { a.Handoff(context.Background(), reich) },
			func() { a.Handoff(context.Background(), dead) },
			func() { a.HandoffAsync(dead) },
			func() { a.SetState([]byte("x")); a.State() },
			func() { a.SetDeadline(time.Now().Add(time.Second)) },
			func() { a.SetNoDelay(false); a.CloseWrite() },
			func() { a.Close() },
			func() { client.Write([]byte("x")); client.Read(make([]byte, 10)) },
		} {
			wg.Go(f)
		}
		ctx, cancel := context.WithCancel(t.Context())
		wg.Go(func() {
			if c, err := ln.AcceptContext(ctx); err == nil { // one that is back
				c.Close()
			}
		})
		time.AfterFunc(10*time.Millisecond, func() { cancel(); client.Close(); a.Close() })
		wg.Wait()
	}
}

// serve closes whatever comes.
func serve(ln net.Listener) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		c.Close()
	}
}

package vanycast_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vanycast/vanycast"
	"github.com/vanycast/vanycast/handoff"
)

// TestPrepareHandoff: the target is made ready, while the application and the
// client go on as if nothing was, and then the client moves.
func TestPrepareHandoff(t *testing.T) {
	r := newRig(t, nil, glass, reich)
	g, re := r.replicas[glass], r.replicas[reich]
	lg, lr := g.listen(), re.listen()
	client := g.dial()
	a := accept(t, lg)
	if err := a.PrepareHandoff(t.Context(), reich); err != nil {
		t.Fatal(err)
	}
	re.mu.Lock()
	if re.prepared != 1 {
		t.Errorf("prepared %d times", re.prepared)
	}
	re.mu.Unlock()
	send(t, client, "one")
	expect(t, a, "one")
	if err := a.Handoff(t.Context(), reich); err != nil {
		t.Fatal(err)
	}
	b := accept(t, lr)
	send(t, client, "two")
	expect(t, b, "two")
	if err := a.PrepareHandoff(t.Context(), reich); !errors.Is(err, vanycast.ErrHandedOff) {
		t.Errorf("after the handoff: %v", err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if err := b.PrepareHandoff(t.Context(), glass); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// TestPrepareHandoffFails: each reason is told, and the client is not touched.
func TestPrepareHandoffFails(t *testing.T) {
	r := newRig(t, nil, glass, reich)
	g, re := r.replicas[glass], r.replicas[reich]
	client := g.dial()
	a := accept(t, g.listen())
	for _, tt := range []struct {
		name   string
		target netip.Addr
		refuse error
		want   error
	}{
		{"this replica", glass, nil, vanycast.ErrUnknownReplica},
		{"by policy", netip.Addr{}, nil, vanycast.ErrUnknownReplica},
		{"not a replica", netip.MustParseAddr("2001:db8::1"), nil, vanycast.ErrUnknownReplica},
		{"unreachable", dead, nil, vanycast.ErrUnreachable},
		{"no application", reich, &handoff.RefusedError{Target: reich, Reason: handoff.ReasonNoApplication}, vanycast.ErrRefused},
		{"no Mobile IPv6", reich, &handoff.RefusedError{Target: reich, Reason: handoff.ReasonNoMobileIPv6}, vanycast.ErrNoMobileIPv6},
	} {
		t.Run(tt.name, func(t *testing.T) {
			re.set(func(p *replica) { p.refuse = tt.refuse })
			err := a.PrepareHandoff(t.Context(), tt.target)
			var he *vanycast.HandoffError
			if !errors.Is(err, tt.want) || !errors.As(err, &he) || he.Target != tt.target {
				t.Errorf("error is %v, want %v", err, tt.want)
			}
		})
	}
	send(t, client, "still here")
	expect(t, a, "still here")
}

// Whoever waits gives up; many are asked for at once.
func TestPrepareHandoffWaits(t *testing.T) {
	r := newRig(t, nil, glass, reich)
	g := r.replicas[glass]
	ln := g.listen()
	g.dial()
	a := accept(t, ln)
	gate := make(chan struct{})
	g.set(func(p *replica) { p.gate = gate })

	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := a.PrepareHandoff(ctx, reich); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("given up: %v", err)
	}
	const many = 100
	answers := make(chan error, many)
	for range many {
		go func() { answers <- a.PrepareHandoff(t.Context(), reich) }()
	}
	refused := 0
	for range many - 63 { // one of 64 is the one that was given up
		if err := <-answers; err == nil {
			t.Error("prepared behind a closed gate")
		}
		refused++
	}
	close(gate)
	for range many - refused {
		if err := <-answers; err != nil {
			t.Error(err)
		}
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
}

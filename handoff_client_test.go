package vanycast_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vanycast/vanycast"
	"github.com/vanycast/vanycast/api/client"
	"github.com/vanycast/vanycast/api/wire"
	"github.com/vanycast/vanycast/handoff"
)

var loopback = netip.IPv6Loopback()

// several makes a client with connections at glass, which can relay them.
func several(t *testing.T, n int, opts ...vanycast.Option) (g, re *replica, ln *vanycast.Listener, far []*net.TCPConn, near []*vanycast.Conn) {
	r := newRig(t, nil, glass, reich)
	g, re = r.replicas[glass], r.replicas[reich]
	g.set(func(p *replica) { p.relays = true })
	ln = g.listen(opts...)
	for range n {
		far = append(far, g.dial())
		near = append(near, accept(t, ln))
	}
	return g, re, ln, far, near
}

// One of several goes, the other stays, and then it goes as well.
func TestOneOfSeveralConnections(t *testing.T) {
	g, re, _, far, near := several(t, 2)
	lr := re.listen()
	if err := near[0].Handoff(t.Context(), reich); err != nil {
		t.Fatal(err)
	}
	there := accept(t, lr)
	for i, c := range []*vanycast.Conn{there, near[1]} {
		send(t, far[i], "hello")
		expect(t, c, "hello")
	}
	g.mu.Lock()
	if g.vacated != 0 {
		t.Errorf("%d times said to be gone", g.vacated)
	}
	g.relays = false
	g.mu.Unlock()
	if err := near[1].Handoff(t.Context(), reich); err != nil {
		t.Errorf("the last one: %v", err)
	}
}

// Where nobody relays, one of several stays.
func TestSeveralConnectionsWithoutRelay(t *testing.T) {
	g, re, _, _, near := several(t, 2)
	re.listen()
	g.set(func(p *replica) { p.relays = false })
	if err := near[0].Handoff(t.Context(), reich); !errors.Is(err, vanycast.ErrShared) {
		t.Errorf("%v", err)
	}
}

func TestHandoffClient(t *testing.T) {
	g, re, ln, far, near := several(t, 3)
	lr := re.listen()
	for i, c := range near {
		c.SetState([]byte{byte(i)})
	}
	moved := ln.HandoffClient(t.Context(), loopback, reich)
	if len(moved) != 3 {
		t.Fatalf("%d connections, want 3", len(moved))
	}
	for i, m := range moved {
		if m.Conn != near[i] || m.Err != nil {
			t.Errorf("connection %d: %v", i, m.Err)
		}
	}
	for range 3 {
		c := accept(t, lr)
		i := c.State()[0]
		send(t, far[i], "hello")
		expect(t, c, "hello")
	}
	eventually(t, "told that the client is gone", func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return g.vacated == 1
	})
	if moved := ln.HandoffClient(t.Context(), loopback, reich); len(moved) != 0 {
		t.Errorf("once more: %v", moved)
	}
}

// Each connection has its own outcome.
func TestHandoffClientStays(t *testing.T) {
	_, re, _, far, near := several(t, 2)
	re.set(func(p *replica) { p.refuse = &handoff.RefusedError{Target: reich, Reason: handoff.ReasonQueueFull} })
	moved := near[1].HandoffClient(t.Context(), reich)
	if len(moved) != 2 {
		t.Fatalf("%d connections, want 2", len(moved))
	}
	for i, m := range moved {
		if !errors.Is(m.Err, vanycast.ErrRefused) {
			t.Errorf("connection %d: %v", i, m.Err)
		}
		send(t, far[i], "hello")
		expect(t, near[i], "hello")
	}
}

// An operator's request reaches the application, which hands the clients off.
func TestHandoffRequests(t *testing.T) {
	asked := vanycast.WithHandoffRequests(func(c *vanycast.Conn, target netip.Addr) {
		if err := c.Handoff(context.Background(), target); err != nil {
			t.Errorf("handoff: %v", err)
		}
	})
	g, re, _, far, near := several(t, 2, asked)
	lr := re.listen()
	waiting := g.dial() // not accepted
	eventually(t, "in the queue", func() bool { n, _ := g.service.Queue(); return n == 1 })
	operator := client.New(g.socket)
	defer operator.Close()
	all, err := operator.HandoffClient(t.Context(), wire.HandoffRequest{Client: loopback, To: reich})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 3 {
		t.Fatalf("%d connections, want 3: %+v", len(all), all)
	}
	for _, h := range all {
		if h.Failure != nil {
			t.Errorf("%v: %+v", h.Remote, h.Failure)
		}
	}
	clients := map[string]*net.TCPConn{waiting.LocalAddr().String(): waiting}
	for i := range near {
		clients[far[i].LocalAddr().String()] = far[i]
	}
	for range 3 {
		c := accept(t, lr)
		send(t, clients[c.RemoteAddr().String()], "hello")
		expect(t, c, "hello")
	}
	var refused *client.StatusError
	if _, err := operator.HandoffClient(t.Context(), wire.HandoffRequest{Client: loopback, To: reich}); !errors.As(err, &refused) || refused.Code != 404 {
		t.Errorf("a client that is not there: %v", err)
	}
}

// An application that did not say that it wants to be asked is not.
func TestHandoffRequestsRefused(t *testing.T) {
	g, re, _, far, near := several(t, 1)
	re.listen()
	operator := client.New(g.socket)
	defer operator.Close()
	all, err := operator.HandoffClient(t.Context(), wire.HandoffRequest{Client: loopback, To: reich})
	if err != nil || len(all) != 1 || all[0].Failure == nil || all[0].Failure.Code != wire.CodeNotAsked {
		t.Errorf("%+v, %v", all, err)
	}
	send(t, far[0], "hello")
	expect(t, near[0], "hello")
}

// One that does not answer is not waited for longer than the asker wants.
func TestHandoffRequestsIgnored(t *testing.T) {
	g, _, _, far, near := several(t, 1, vanycast.WithHandoffRequests(func(*vanycast.Conn, netip.Addr) {}))
	for range 2 {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		all := g.service.HandoffClient(ctx, loopback, reich)
		cancel()
		if len(all) != 1 || !errors.Is(all[0].Err, context.DeadlineExceeded) {
			t.Fatalf("%+v", all)
		}
	}
	send(t, far[0], "hello")
	expect(t, near[0], "hello")
}

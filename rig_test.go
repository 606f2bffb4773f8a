package vanycast_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/vanycast/vanycast"
	"github.com/vanycast/vanycast/api"
	"github.com/vanycast/vanycast/api/wire"
	"github.com/vanycast/vanycast/framework"
	"github.com/vanycast/vanycast/handoff"
)

// rig is a group of replicas in this process: each a framework.Service and an API
// server as the daemon has them. The contact address is ::1, on a port of its own
// at each replica, and a handoff passes the descriptor on instead of a TCP
// endpoint; all else is real.
type rig struct {
	t        testing.TB
	mu       sync.Mutex
	replicas map[netip.Addr]*replica
}

type replica struct {
	rig     *rig
	careOf  netip.Addr
	service *framework.Service
	api     *api.Server
	socket  string
	stop    func()

	mu       sync.Mutex
	refuse   error         // of all clients that are handed off to it
	gate     chan struct{} // if set, handoffs and preparations from here wait for it
	prepared int           // clients that it was made ready for
	clears   []netip.Addr
	probeErr error
	relays   bool // connections can be relayed from here
	vacated  int  // times that a client's last connection was said to be gone
}

var (
	glass = netip.MustParseAddr("2001:db8:1::10")
	reich = netip.MustParseAddr("2001:db8:2::10")
	dead  = netip.MustParseAddr("2001:db8:3::10")
)

// newRig starts replicas, and stops them with the test. dead is a member too.
func newRig(t testing.TB, change func(*framework.Config), careOfs ...netip.Addr) *rig {
	t.Helper()
	r := &rig{t: t, replicas: make(map[netip.Addr]*replica)}
	for _, a := range careOfs {
		p := &replica{rig: r, careOf: a}
		cfg := framework.Config{
			Service: "echo", Contact: netip.MustParseAddrPort("[::1]:0"), Self: a, Replicas: append([]netip.Addr{dead}, careOfs...),
			Linger: time.Minute,
		}
		if change != nil {
			change(&cfg)
		}
		var err error
		if p.service, err = framework.New(cfg, framework.Deps{Agent: p, Address: p, Relay: p}); err != nil {
			t.Fatal(err)
		}
		p.socket = filepath.Join(t.TempDir(), "api.sock")
		if p.api, err = api.New(api.Config{Socket: p.socket}, p); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		ctx, cancel := context.WithCancel(context.Background())
		wg.Go(func() {
			if err := p.service.Run(ctx); err != nil {
				t.Errorf("service: %v", err)
			}
		})
		wg.Go(func() {
			if err := p.api.Serve(); err != nil {
				t.Errorf("api: %v", err)
			}
		})
		p.stop = sync.OnceFunc(func() {
			p.api.Close()
			hurry, done := context.WithCancel(context.Background())
			done()
			p.service.Close(hurry)
			cancel()
			wg.Wait()
		})
		t.Cleanup(p.stop)
		r.replicas[a] = p
	}
	return r
}

// api.Backend.
func (p *replica) Status() wire.Status      { return wire.Status{Name: p.careOf.String()} }
func (p *replica) Replicas() []wire.Replica { return nil }
func (p *replica) Clients() []wire.Client {
	var out []wire.Client
	for _, c := range p.service.Clients() {
		out = append(out, api.Client(c))
	}
	return out
}
func (p *replica) Bindings() []wire.Binding { return nil }
func (p *replica) Handoffs() []wire.Handoff { return nil }
func (p *replica) HandoffClient(ctx context.Context, client, to netip.Addr) (out []wire.ClientHandoff) {
	for _, m := range p.service.HandoffClient(ctx, client, to) {
		out = append(out, api.ClientHandoff(m))
	}
	return out
}
func (p *replica) Service(name string) (*framework.Service, bool) {
	return p.service, name == "echo"
}

// framework.Address.
func (p *replica) IsContactNode() bool { return true }
func (p *replica) Probe(context.Context, netip.Addr) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.probeErr
}
func (p *replica) Bind(context.Context, netip.Addr) error { return nil }
func (p *replica) Clear(_ context.Context, a netip.Addr) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clears = append(p.clears, a)
	return nil
}

// framework.Relay.
func (p *replica) CanRelay() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.relays
}
func (p *replica) Immobile(netip.Addr)                {}
func (p *replica) Closed(_, _ netip.AddrPort, _ bool) {}

func (p *replica) Vacated(netip.Addr) { p.set(func(p *replica) { p.vacated++ }) }

// Handoff makes it a framework.Agent.
func (p *replica) Handoff(ctx context.Context, c *handoff.Client, target netip.Addr) error {
	to, err := p.reach(ctx, target)
	if err != nil {
		return err
	}
	if err := to.service.Admit(handoff.Offer{ID: c.ID, Service: c.Service, Contact: c.Local, Client: c.Remote, From: p.careOf, StateBytes: len(c.State)}); err != nil {
		return err
	}
	moved := *c
	moved.HandedOff, moved.From, moved.Since = true, p.careOf, time.Now()
	c.FD = -1
	to.service.Deliver(&moved)
	return nil
}

// Prepare is the rest of a framework.Agent.
func (p *replica) Prepare(ctx context.Context, c *handoff.Client, target netip.Addr) error {
	to, err := p.reach(ctx, target)
	if err != nil {
		return err
	}
	to.set(func(to *replica) { to.prepared++ })
	return nil
}

// reach gets at the target of a handoff, when the gate opens.
func (p *replica) reach(ctx context.Context, target netip.Addr) (*replica, error) {
	p.mu.Lock()
	gate := p.gate
	p.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	p.rig.mu.Lock()
	to := p.rig.replicas[target]
	p.rig.mu.Unlock()
	if to == nil {
		return nil, errors.New("unreachable")
	}
	to.mu.Lock()
	defer to.mu.Unlock()
	return to, to.refuse
}

// set changes how a replica behaves.
func (p *replica) set(f func(*replica)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(p)
}

// listen is a server at a replica.
func (p *replica) listen(opts ...vanycast.Option) *vanycast.Listener {
	p.rig.t.Helper()
	ln, err := vanycast.Listen(p.rig.t.Context(), "echo", append(opts, vanycast.WithSocket(p.socket))...)
	if err != nil {
		p.rig.t.Fatal(err)
	}
	p.rig.t.Cleanup(func() { ln.Close() })
	return ln
}

// dial is a client at a replica's contact port.
func (p *replica) dial() *net.TCPConn {
	p.rig.t.Helper()
	c, err := net.DialTCP("tcp6", nil, net.TCPAddrFromAddrPort(p.service.Contact()))
	if err != nil {
		p.rig.t.Fatal(err)
	}
	p.rig.t.Cleanup(func() { c.Close() })
	return c
}

// accept takes the next client of a listener.
func accept(t testing.TB, ln *vanycast.Listener) *vanycast.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := ln.AcceptContext(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

// eventually polls.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not in %v: %s", patience, what)
		}
		time.Sleep(time.Millisecond)
	}
}

// expect reads exactly that text.
func expect(t testing.TB, r io.Reader, text string) {
	t.Helper()
	if d, ok := r.(interface{ SetReadDeadline(time.Time) error }); ok {
		d.SetReadDeadline(time.Now().Add(patience))
		defer d.SetReadDeadline(time.Time{})
	}
	b := make([]byte, len(text))
	if n, err := io.ReadFull(r, b); err != nil || string(b) != text {
		t.Fatalf("read %q, %v; want %q", b[:n], err, text)
	}
}

func send(t testing.TB, w io.Writer, text string) {
	t.Helper()
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
}

package framework

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vanycast/vanycast/handoff"
)

// fake is an Agent and an Address.
type fake struct {
	mu      sync.Mutex
	handoff func(ctx context.Context, c *handoff.Client, target netip.Addr) error
	probe   error
	bound   map[netip.Addr]int
	cleared map[netip.Addr]int
	live    *Live
}

func (f *fake) Handoff(ctx context.Context, c *handoff.Client, target netip.Addr) error {
	return f.handoff(ctx, c, target)
}
func (f *fake) Prepare(_ context.Context, c *handoff.Client, _ netip.Addr) error {
	if c.FD != -1 {
		return fmt.Errorf("descriptor %d is given away", c.FD)
	}
	return nil
}
func (f *fake) IsContactNode() bool                     { return true }
func (f *fake) Probe(context.Context, netip.Addr) error { return f.probe }
func (f *fake) Bind(ctx context.Context, a netip.Addr) error {
	f.mu.Lock()
	f.bound[a]++
	f.mu.Unlock()
	<-ctx.Done() // as long as it may
	return ctx.Err()
}
func (f *fake) Clear(_ context.Context, a netip.Addr) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cleared[a]++
	return nil
}

// policyFunc is a Policy.
type policyFunc func(View) netip.Addr

func (p policyFunc) Select(v View, exclude map[netip.Addr]bool) (netip.Addr, bool) {
	a := p(v)
	return a, a.IsValid() && !exclude[a]
}
func (policyFunc) ReplicaFailed(netip.Addr, error) {}

// startService runs one with a policy of the test's.
func startService(t *testing.T, f *fake, change func(*Config), policy policyFunc) *Service {
	t.Helper()
	f.bound, f.cleared = make(map[netip.Addr]int), make(map[netip.Addr]int)
	if f.handoff == nil {
		f.handoff = func(context.Context, *handoff.Client, netip.Addr) error { return errors.New("unreachable") }
	}
	cfg := Config{
		Service: "echo", Contact: netip.MustParseAddrPort("[::1]:0"), Self: hosts["glass"],
		Replicas: []netip.Addr{hosts["reich"], hosts["adams"]}, Linger: time.Minute, AcceptTimeout: time.Minute,
	}
	if change != nil {
		change(&cfg)
	}
	deps := Deps{Agent: f, Address: f, Live: f.live}
	if policy != nil {
		deps.Policy = func(string) (Policy, error) { return policy, nil }
	}
	s, err := New(cfg, deps)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		hurry, now := context.WithCancel(context.Background())
		now()
		s.Close(hurry)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		if _, err := s.Listen(ListenOptions{}); !errors.Is(err, ErrClosed) {
			t.Errorf("Listen after the end: %v", err)
		}
	})
	return s
}

func dialService(t *testing.T, s *Service) *net.TCPConn {
	t.Helper()
	c, err := net.DialTCP("tcp6", nil, net.TCPAddrFromAddrPort(s.Contact()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func listenService(t *testing.T, s *Service) *ServerSocket {
	t.Helper()
	ss, err := s.Listen(ListenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return ss
}

// handOff hands a client off and waits for the outcome.
func handOff(ss *ServerSocket, k uint64, target netip.Addr) (back *Taken, err error) {
	told := make(chan struct{})
	ss.Handoff(k, target, nil, false, func(t *Taken, e error) { back, err = t, e; close(told) })
	<-told
	return back, err
}

func acceptService(t *testing.T, ss *ServerSocket) *Taken {
	t.Helper()
	taken := make(chan *Taken, 1)
	if err := ss.Accept(func(c *Taken) { taken <- c }); err != nil {
		t.Fatal(err)
	}
	c := <-taken
	if c == nil {
		t.Fatal("no more clients")
	}
	t.Cleanup(c.Close)
	return c
}

// An Accept that is withdrawn gets nothing; the newest go first, and those that are
// left are told of the end.
func TestWithdraw(t *testing.T) {
	s := startService(t, &fake{}, nil, nil)
	ss := listenService(t, s)
	var got []string
	for _, name := range []string{"oldest", "newer", "newest"} {
		if err := ss.Accept(func(c *Taken) { got = append(got, fmt.Sprint(name, c == nil)) }); err != nil {
			t.Fatal(err)
		}
	}
	if n := ss.Withdraw(2); n != 2 {
		t.Errorf("%d withdrawn, want 2", n)
	}
	ss.Close()
	if n := ss.Withdraw(2); n != 0 || len(got) != 1 || got[0] != "oldesttrue" {
		t.Errorf("%d withdrawn after the end; told %v", n, got)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not in 20 s: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

func (s *Service) states() string {
	var out string
	for _, c := range s.Clients() {
		out += c.State + " "
	}
	return out
}

// TestSlowPolicy: a policy that takes its time over one client holds no other.
func TestSlowPolicy(t *testing.T) {
	wait := make(chan struct{})
	s := startService(t, &fake{}, nil, func(v View) netip.Addr { <-wait; return v.Self })
	ss := listenService(t, s)
	a := dialService(t, s)
	eventually(t, "the policy is asked", func() bool { return s.states() == "selecting " })
	b := dialService(t, s) // of the same address: it is not asked about this one
	if c := acceptService(t, ss); c.Remote.String() != b.LocalAddr().String() {
		t.Errorf("accepted %v", c.Remote)
	}
	close(wait)
	if c := acceptService(t, ss); c.Remote.String() != a.LocalAddr().String() {
		t.Errorf("accepted %v", c.Remote)
	}
}

// TestBacklog: no more clients than the backlog wait; the others are turned away
// in order. Slots of the distribution are given back.
func TestBacklog(t *testing.T) {
	s := startService(t, &fake{}, func(c *Config) { c.Backlog = 2 }, nil)
	ss := listenService(t, s)
	clients := make(map[string]*net.TCPConn)
	for range 10 {
		c := dialService(t, s)
		clients[c.LocalAddr().String()] = c
	}
	eventually(t, "two wait, the others are being closed", func() bool {
		n := 0
		for _, c := range s.Clients() {
			if c.State != "queued" {
				n++
			}
		}
		return n == 8
	})
	if n, limit := s.Queue(); n != 2 || limit != 2 {
		t.Errorf("queue %d of %d", n, limit)
	}
	for range 2 {
		delete(clients, acceptService(t, ss).Remote.String())
	}
	if len(clients) != 8 {
		t.Errorf("%d clients turned away, want 8", len(clients))
	}
	for _, c := range clients {
		if b, err := io.ReadAll(c); err != nil || len(b) > 0 {
			t.Errorf("a client that is turned away reads %q, %v; want its end", b, err)
		}
	}
}

// TestDistribute: a client goes where the policy says, after its home test, and
// the next target takes it where the first fails.
func TestDistribute(t *testing.T) {
	var tried []netip.Addr
	f := &fake{handoff: func(_ context.Context, c *handoff.Client, target netip.Addr) error {
		tried = append(tried, target)
		if target == hosts["adams"] {
			unix.Close(c.FD)
			c.FD = -1
			return nil
		}
		return fmt.Errorf("connect %v: %w", target, unix.ECONNREFUSED)
	}}
	s := startService(t, f, nil, func(v View) netip.Addr { return v.Replicas[0] })
	listenService(t, s)
	c := dialService(t, s)
	if _, err := io.ReadAll(c); err != nil { // the fake closed it
		t.Error(err)
	}
	eventually(t, "the client is gone", func() bool { return s.states() == "" })
	if len(tried) != 2 || tried[0] != hosts["reich"] || tried[1] != hosts["adams"] {
		t.Errorf("tried %v", tried)
	}
	for _, r := range s.Replicas() {
		switch r.Address {
		case hosts["reich"]:
			if r.Excluded.IsZero() || !errors.Is(r.Err, unix.ECONNREFUSED) || r.Failed != 1 {
				t.Errorf("reich: %+v", r)
			}
		case hosts["adams"]:
			if !r.Excluded.IsZero() || r.Err != nil || r.Accepted != 1 {
				t.Errorf("adams: %+v", r)
			}
		}
	}
}

// TestNoMobileIPv6: the client stays, and the application may not hand it off.
func TestNoMobileIPv6(t *testing.T) {
	f := &fake{probe: fmt.Errorf("parameter problem: %w", handoff.ErrNoMobileIPv6)}
	s := startService(t, f, nil, func(v View) netip.Addr { return v.Replicas[0] })
	ss := listenService(t, s)
	c := dialService(t, s)
	a := acceptService(t, ss)
	if _, err := unix.Write(a.FD, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 5)
	if _, err := io.ReadFull(c, b); err != nil {
		t.Fatal(err)
	}
	back, err := handOff(ss, a.Key, netip.Addr{})
	if !errors.Is(err, handoff.ErrNoMobileIPv6) || back == nil {
		t.Fatalf("Handoff: %v, %v", back, err)
	}
	back.Close()
	if i := s.Clients(); len(i) != 1 || i[0].Mobile != "no" || i[0].State != "held" {
		t.Errorf("clients %+v", i)
	}
}

// TestBind: a client that is served here is bound in the background, and that
// ends before it is handed off, and when it is closed.
func TestBind(t *testing.T) {
	loop := netip.MustParseAddr("::1")
	f := &fake{}
	binding := make(chan int)
	f.handoff = func(_ context.Context, c *handoff.Client, _ netip.Addr) error {
		f.mu.Lock()
		defer f.mu.Unlock()
		binding <- f.bound[loop]
		return errors.New("unreachable")
	}
	s := startService(t, f, nil, nil)
	ss := listenService(t, s)
	dialService(t, s)
	a := acceptService(t, ss)
	eventually(t, "bound", func() bool { f.mu.Lock(); defer f.mu.Unlock(); return f.bound[loop] == 1 })
	go func() {
		if n := <-binding; n != 1 {
			t.Errorf("bound %d times before the handoff", n)
		}
	}()
	back, err := handOff(ss, a.Key, hosts["reich"])
	if err == nil || back == nil {
		t.Fatalf("Handoff: %v, %v", back, err)
	}
	back.Close()
}

// TestClear: the binding goes with the last connection of the client.
func TestClear(t *testing.T) {
	loop := netip.MustParseAddr("::1")
	f := &fake{}
	s := startService(t, f, func(c *Config) { c.ClearOnClose = true }, nil)
	ss := listenService(t, s)
	cleared := func() int { f.mu.Lock(); defer f.mu.Unlock(); return f.cleared[loop] }
	one := dialService(t, s)
	a := acceptService(t, ss)
	two := dialService(t, s)
	b := acceptService(t, ss)
	ss.CloseClient(a.Key, false, nil)
	one.Close()
	eventually(t, "the first is closed", func() bool { return s.states() == "held " })
	if n := cleared(); n != 0 {
		t.Errorf("cleared %d times while another connection lives", n)
	}
	ss.CloseClient(b.Key, false, nil)
	two.Close()
	eventually(t, "cleared", func() bool { return cleared() == 1 })
	no := false
	three := dialService(t, s)
	c := acceptService(t, ss)
	ss.CloseClient(c.Key, false, &no)
	three.Close()
	eventually(t, "closed", func() bool { return s.states() == "" })
	if n := cleared(); n != 1 {
		t.Errorf("cleared %d times, the application said no", n)
	}
}

// TestGone: who waits for an application and resets its connection waits no more.
func TestGone(t *testing.T) {
	s := startService(t, &fake{}, nil, nil)
	c := dialService(t, s)
	eventually(t, "queued", func() bool { return s.states() == "queued " })
	c.SetLinger(0)
	c.Close()
	eventually(t, "gone", func() bool { return s.states() == "" })
	// One that only finished sending is served.
	c = dialService(t, s)
	c.CloseWrite()
	acceptService(t, listenService(t, s))
}

// TestAcceptTimeout: a client that nobody takes is closed in order.
func TestAcceptTimeout(t *testing.T) {
	s := startService(t, &fake{}, func(c *Config) { c.AcceptTimeout = 20 * time.Millisecond }, nil)
	listenService(t, s)
	if b, err := io.ReadAll(dialService(t, s)); err != nil || len(b) > 0 {
		t.Errorf("client reads %q, %v; want its end", b, err)
	}
}

// TestCloseService: connections that were never accepted get a FIN too, not a
// reset, and Close ends within its context.
func TestCloseService(t *testing.T) {
	wait := make(chan struct{})
	s := startService(t, &fake{}, func(c *Config) { c.Backlog = 1 }, func(v View) netip.Addr { <-wait; return v.Self })
	var clients []*net.TCPConn
	for range 2 { // one is being distributed, one is in the kernel's queue
		clients = append(clients, dialService(t, s))
	}
	eventually(t, "selecting", func() bool { return s.states() == "selecting " })
	ctx, cancel := context.WithCancel(t.Context())
	closed := make(chan error)
	go func() { closed <- s.Close(ctx) }()
	if b, err := io.ReadAll(clients[1]); err != nil || len(b) > 0 {
		t.Errorf("waiting client reads %q, %v; want its end", b, err)
	}
	close(wait)
	if b, err := io.ReadAll(clients[0]); err != nil || len(b) > 0 {
		t.Errorf("distributed client reads %q, %v; want its end", b, err)
	}
	cancel() // neither has closed its side
	if err := <-closed; !errors.Is(err, context.Canceled) {
		t.Errorf("Close: %v", err)
	}
	if _, err := net.Dial("tcp6", s.Contact().String()); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("dial after Close: %v", err)
	}
}

// TestCloseServiceMoving: a handoff that runs is ended, and who waits for it is
// told.
func TestCloseServiceMoving(t *testing.T) {
	moving := make(chan struct{})
	f := &fake{handoff: func(ctx context.Context, _ *handoff.Client, _ netip.Addr) error {
		close(moving)
		<-ctx.Done()
		return ctx.Err()
	}}
	s := startService(t, f, nil, nil)
	ss := listenService(t, s)
	c := dialService(t, s)
	a := acceptService(t, ss)
	a.Client.FD, a.FD = -1, a.Client.FD
	asked := make(chan error)
	go func() {
		back, err := handOff(ss, a.Key, hosts["reich"])
		if back != nil {
			back.Close()
		}
		asked <- err
	}()
	<-moving
	go s.Close(t.Context())
	if err := <-asked; !errors.Is(err, context.Canceled) {
		t.Errorf("Handoff: %v", err)
	}
	if b, err := io.ReadAll(c); err != nil || len(b) > 0 {
		t.Errorf("client reads %q, %v; want its end", b, err)
	}
	c.Close()
	if err := ss.Accept(func(*Taken) {}); !errors.Is(err, ErrClosed) {
		t.Errorf("Accept: %v", err)
	}
}

func TestConfigBad(t *testing.T) {
	good := Config{Service: "echo", Contact: netip.MustParseAddrPort("[::1]:0"), Self: hosts["glass"]}
	for name, change := range map[string]func(*Config){
		"no name":           func(c *Config) { c.Service = "" },
		"IPv4":              func(c *Config) { c.Contact = netip.MustParseAddrPort("127.0.0.1:0") },
		"mapped IPv4":       func(c *Config) { c.Contact = netip.MustParseAddrPort("[::ffff:127.0.0.1]:0") },
		"no care-of":        func(c *Config) { c.Self = netip.Addr{} },
		"negative backlog":  func(c *Config) { c.Backlog = -1 },
		"negative duration": func(c *Config) { c.Linger = -1 },
		"unknown policy":    func(c *Config) { c.Policy = "best" },
		"unknown zone":      func(c *Config) { c.Contact = netip.MustParseAddrPort("[fe80::1%nowhere]:0") },
	} {
		c := good
		change(&c)
		if s, err := New(c, Deps{Agent: &fake{}, Address: &fake{}}); err == nil {
			t.Errorf("%s: no error", name)
			s.ln.close()
		}
	}
}

// TestListenFreebind: the contact address need not be on the host yet.
func TestListenFreebind(t *testing.T) {
	ln, err := listen(netip.MustParseAddrPort("[2001:db8:9::1]:0"), 1)
	if err != nil {
		t.Fatal(err)
	}
	if ln.addr.Port() == 0 {
		t.Errorf("address %v", ln.addr)
	}
	ln.close()
}

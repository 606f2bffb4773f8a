package anycast

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/bindings"
	"github.com/vanycast/vanycast/mipv6/correspondent"
	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/mipv6/dataplane/planetest"
	"github.com/vanycast/vanycast/mipv6/mhsock"
	"github.com/vanycast/vanycast/mipv6/mhsock/mhtest"
	"github.com/vanycast/vanycast/peer"
	"github.com/vanycast/vanycast/relay"
)

// lab is a network in memory, in a synctest bubble: replicas glass, reich and
// adams with the real loop, a home agent and a client of real protocol code.
type lab struct {
	t        *testing.T
	net      *mhtest.Network
	ctx      context.Context
	replicas map[netip.Addr]*replica
	relaying bool   // replicas can have connections relayed
	delay    func() // of a message between replicas, if not nil

	choose Choose // of the replicas: then they steer, and can relay

	mu     sync.Mutex // of home, and of replicas while they are made
	home   *bindings.Cache
	client *correspondent.Role
}

type replica struct {
	*Node
	addr  *Address
	plane *planetest.Plane
	host  *mhtest.Host
	conns []relay.Conn // that it serves
	down  atomic.Bool  // its channel to the others is cut

	mu    sync.Mutex
	local []relay.Conn // the same, in a lab that relays
}

var labKey = bindings.Key{Local: modern, Home: contactAddr}

// inLab runs f in a bubble with a lab, and checks that closing leaves nothing.
func inLab(t *testing.T, f func(t *testing.T, l *lab)) {
	t.Helper()
	inLabOf(t, nil, f)
}

func inLabOf(t *testing.T, choose Choose, f func(t *testing.T, l *lab)) {
	t.Helper()
	inLabWith(t, func(l *lab) { l.choose = choose }, f)
}

func inLabWith(t *testing.T, change func(*lab), f func(t *testing.T, l *lab)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		l := &lab{
			t: t, net: mhtest.NewNetwork(), ctx: ctx, replicas: make(map[netip.Addr]*replica),
			home: bindings.NewCache(bindings.Config{}),
		}
		change(l)
		go mhsock.Each(ctx, l.net.Host(homeAgent).Receive, l.homeAgent)
		host := l.net.Host(modern)
		var err error
		l.client, err = correspondent.New(correspondent.Config{}, correspondent.Deps{Plane: planetest.New(), MH: host})
		must(t, err)
		go l.client.Run(ctx)
		go mhsock.Each(ctx, host.Receive, l.client.HandleMH)
		for _, a := range []netip.Addr{glass, reich, adams} {
			l.add(a)
		}
		f(t, l)
		for a, r := range l.replicas {
			if err := r.Close(ctx); err != nil && !t.Failed() {
				t.Logf("closing %v: %v", a, err)
			}
			if s := r.plane.State(); len(s.Contacts)+len(s.Routes) != 0 {
				t.Errorf("%v left %+v on the host", a, s)
			}
			if err := r.Node.about(func(a *Address) error { return a.Probe(ctx, modern) }, contactAddr); !errors.Is(err, ErrClosed) {
				t.Errorf("%v after closing: %v", a, err)
			}
		}
		cancel()
		synctest.Wait()
	})
}

func (n *Node) about(f func(*Address) error, home netip.Addr) error { return f(&Address{n, home}) }

func (l *lab) add(careOf netip.Addr) {
	l.t.Helper()
	r := &replica{plane: planetest.New(), host: l.net.Host(careOf)}
	var err error
	deps := Deps{Plane: r.plane, MH: r.host, Relay: RelayOver(&channel{l, careOf})}
	cfg := Config{
		CareOf: careOf, InUse: func(_, _ netip.Addr) bool { return true }, Choose: l.choose, Logger: l.logger(careOf),
		Connections: func(netip.Addr) []relay.Conn { return r.conns },
		Connected:   func(c relay.Conn) bool { return slices.Contains(r.conns, c) },
	}
	var ports []uint16
	if l.choose != nil {
		deps.Peers, ports = &channel{l, careOf}, []uint16{4000}
	}
	if l.relaying {
		deps.Peers = &channel{l, careOf}
		cfg.InUse = func(_, _ netip.Addr) bool { return len(r.connections(contactAddr)) > 0 }
		cfg.Connections = r.connections
		cfg.Connected = func(c relay.Conn) bool { return slices.Contains(r.connections(contactAddr), c) }
		cfg.Shared = func(c relay.Conn) bool {
			return slices.ContainsFunc(r.connections(contactAddr), func(o relay.Conn) bool { return o != c && o.Client.Addr() == c.Client.Addr() })
		}
	}
	r.Node, err = New(cfg, deps)
	if err != nil {
		l.t.Fatal(err)
	}
	r.addr, err = r.Passive(l.ctx, Contact{
		Address: contactAddr, HomeAgent: homeAgent,
		ContactNodes: []netip.Addr{glass, reich}, Replicas: []netip.Addr{glass, reich, adams}, Steer: ports,
	})
	if err != nil {
		l.t.Fatal(err)
	}
	l.mu.Lock()
	l.replicas[careOf] = r
	l.mu.Unlock()
	go r.Run(l.ctx)
	go r.HandleEvents(l.ctx, r.plane.Events())
	go mhsock.Each(l.ctx, r.host.Receive, r.HandleMH)
	go mhsock.Each(l.ctx, r.host.ReceiveError, r.HandleICMP)
}

func (r *replica) connections(netip.Addr) []relay.Conn {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.local)
}

// lives says which connections a replica serves.
func (r *replica) lives(all ...relay.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.local = all
}

func (l *lab) send(p *mipv6.Packet, m mipv6.Message, mac func([]byte) mipv6.Authenticator) {
	if err := p.Carry(m, mac); err != nil {
		l.t.Error(err)
		return
	}
	host := l.net.Host() // a host without addresses, to send with
	if err := host.Send(p); err != nil {
		l.t.Error(err)
	}
}

// homeAgent registers, and moves the contact address to who is registered.
func (l *lab) homeAgent(r mhsock.Received) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	m, err := mipv6.Parse(r.Message)
	bu, ok := m.(*mipv6.BindingUpdate)
	if err != nil || !ok {
		l.t.Errorf("home agent got %v, %v", m, err)
		return false
	}
	res := l.home.Update(time.Now(), bindings.Request{
		Key: bindings.Key{Local: homeAgent, Home: r.Src}, CareOf: r.CareOf, Sequence: bu.Sequence,
		Lifetime: bu.Lifetime, HomeRegistration: bu.HomeRegistration,
	})
	if res.Change.Kind == bindings.Created || res.Change.Kind == bindings.Moved {
		l.net.Attach(l.replicas[r.CareOf].host, r.Src)
	}
	l.send(&mipv6.Packet{Src: homeAgent, Dst: r.CareOf, RoutingHome: r.Src},
		&mipv6.BindingAcknowledgement{Status: res.Status, Sequence: res.Sequence, Lifetime: res.Lifetime}, nil)
	return true
}

// binding is what the client knows.
func (l *lab) binding() bindings.Binding {
	for _, b := range l.client.Bindings() {
		if b.Key == labKey && time.Now().Before(b.Expires) {
			return b
		}
	}
	return bindings.Binding{}
}

// boundTo is where the client sends.
func (l *lab) boundTo() netip.Addr { return l.binding().CareOf }

// registered is where the home agent tunnels to.
func (l *lab) registered() netip.Addr {
	l.mu.Lock()
	defer l.mu.Unlock()
	b, _ := l.home.Lookup(time.Now(), bindings.Key{Local: homeAgent, Home: contactAddr})
	return b.CareOf
}

func (l *lab) route(r *replica) dataplane.RouteKind {
	return r.plane.State().Routes[dataplane.Flow{Home: contactAddr, Client: modern}].Kind
}

// channel is the replicas' channel as seen from one of them.
type channel struct {
	lab  *lab
	from netip.Addr
}

var errCut = errors.New("unreachable")

// Call implements Caller.
func (c *channel) Call(ctx context.Context, to netip.Addr, kind peer.Kind, req []byte) ([]byte, error) {
	c.lab.mu.Lock()
	r := c.lab.replicas[to]
	c.lab.mu.Unlock()
	if r == nil {
		return nil, errCut
	}
	if r.down.Load() {
		<-ctx.Done()
		return nil, fmt.Errorf("%w: %w", errCut, ctx.Err())
	}
	if c.lab.delay != nil {
		c.lab.delay()
		defer c.lab.delay()
	}
	switch kind {
	case peer.KindHomeTest:
		return r.HandleHomeTest(ctx, c.from, req)
	case peer.KindRefresh:
		return r.HandleRefresh(ctx, c.from, req)
	case peer.KindRelay:
		return r.HandleRelay(ctx, c.from, req)
	case peer.KindAnchor:
		return r.HandleAnchor(ctx, c.from, req)
	case peer.KindBinding:
		return r.HandleBinding(ctx, c.from, req)
	case peer.KindBound:
		b, err := r.HandleBound(ctx, c.from, req)
		if err != nil {
			err = &peer.RemoteError{Code: 1, Text: err.Error()}
		}
		return b, err
	}
	return nil, fmt.Errorf("kind %v", kind)
}

// dropFirst loses the first n packets of a type from src.
func (l *lab) dropFirst(n int, typ mipv6.Type, src netip.Addr) {
	l.net.Filter(func(p *mipv6.Packet) bool {
		if t, ok := mipv6.PeekType(p.Payload); !ok || t != typ || p.Src != src || n == 0 {
			return true
		}
		n--
		return false
	})
}

// logger has a replica's log with the test's, where that is verbose.
func (l *lab) logger(at netip.Addr) *slog.Logger {
	if !testing.Verbose() {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(l.t.Output(), nil)).With("at", at)
}

// Package homelinktest has a fake of homelink: a home link in memory, whose
// neighbours the test plays, for deterministic tests of the home agent (in a
// testing/synctest bubble too).
package homelinktest

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"

	"github.com/vanycast/vanycast/mipv6/homelink"
)

// Link has the methods of *homelink.Link. Its zero value is not usable; see
// New.
type Link struct {
	mu               sync.Mutex
	proxies, watched map[netip.Addr]bool
	refused          error
	anycast          []netip.Addr
	delivered        []Delivered
	heard            chan homelink.Neighbour
	asked            chan homelink.ICMP
	closed           chan struct{}
	once             sync.Once
}

// New makes a home link where nobody says anything.
func New() *Link {
	return &Link{
		proxies: make(map[netip.Addr]bool), watched: make(map[netip.Addr]bool),
		heard: make(chan homelink.Neighbour, 64), asked: make(chan homelink.ICMP, 64), closed: make(chan struct{}),
	}
}

// Refuse has AddProxy and Watch fail with err from now on; nil ends that.
func (l *Link) Refuse(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refused = err
}

// Say has a neighbour say something, if somebody listens: what a solicitation
// is about must be watched.
func (l *Link) Say(n homelink.Neighbour) {
	l.mu.Lock()
	audible := n.Advertisement || l.watched[n.Target]
	l.mu.Unlock()
	if !audible {
		return
	}
	select {
	case l.heard <- n:
	default: // lost, as on any link
	}
}

// Proxies are the addresses that are answered for.
func (l *Link) Proxies() []netip.Addr { return l.list(l.proxies) }

// Watched are the addresses that are listened for.
func (l *Link) Watched() []netip.Addr { return l.list(l.watched) }

func (l *Link) list(m map[netip.Addr]bool) []netip.Addr {
	l.mu.Lock()
	defer l.mu.Unlock()
	var addrs []netip.Addr
	for a := range m {
		addrs = append(addrs, a)
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	return addrs
}

func (l *Link) put(m map[netip.Addr]bool, a netip.Addr) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refused != nil {
		return l.refused
	}
	m[a] = true
	return nil
}

func (l *Link) drop(m map[netip.Addr]bool, a netip.Addr) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(m, a)
	return nil
}

// Index is 1.
func (l *Link) Index() int { return 1 }

// HardwareAddr is a locally administered one.
func (l *Link) HardwareAddr() net.HardwareAddr { return net.HardwareAddr{2, 0, 0, 0, 0, 0xff} }

// AddProxy is as of *homelink.Link.
func (l *Link) AddProxy(a netip.Addr) error { return l.put(l.proxies, a) }

// RemoveProxy is as of *homelink.Link.
func (l *Link) RemoveProxy(a netip.Addr) error { return l.drop(l.proxies, a) }

// Watch is as of *homelink.Link.
func (l *Link) Watch(a netip.Addr) error { return l.put(l.watched, a) }

// Unwatch is as of *homelink.Link.
func (l *Link) Unwatch(a netip.Addr) error { return l.drop(l.watched, a) }

// Receive is as of *homelink.Link.
func (l *Link) Receive(ctx context.Context) (homelink.Neighbour, error) {
	select {
	case n := <-l.heard:
		return n, nil
	case <-ctx.Done():
		return homelink.Neighbour{}, ctx.Err()
	case <-l.closed:
		return homelink.Neighbour{}, net.ErrClosed
	}
}

// Delivered is a packet that went to a neighbour past the routing table.
type Delivered struct {
	Packet []byte
	To     net.HardwareAddr
}

// Deliver is as of *homelink.Link; Deliveries tells.
func (l *Link) Deliver(packet []byte, to net.HardwareAddr) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delivered = append(l.delivered, Delivered{slices.Clone(packet), slices.Clone(to)})
	return nil
}

// Deliveries are all packets that went by Deliver.
func (l *Link) Deliveries() []Delivered {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.delivered)
}

// LinkLocal is fe80::ff.
func (l *Link) LinkLocal() netip.Addr { return netip.MustParseAddr("fe80::ff") }

// JoinAnycast is as of *homelink.Link.
func (l *Link) JoinAnycast(a netip.Addr) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.anycast = append(l.anycast, a)
	return nil
}

// Anycast are the anycast addresses that were joined.
func (l *Link) Anycast() []netip.Addr {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.anycast)
}

// Ask has a mobile node, or a router on the way to one, send an ICMPv6 message.
func (l *Link) Ask(m homelink.ICMP) {
	select {
	case l.asked <- m:
	default: // lost
	}
}

// ReceiveICMP is as of *homelink.Link.
func (l *Link) ReceiveICMP(ctx context.Context) (homelink.ICMP, error) {
	select {
	case m := <-l.asked:
		return m, nil
	case <-ctx.Done():
		return homelink.ICMP{}, ctx.Err()
	case <-l.closed:
		return homelink.ICMP{}, net.ErrClosed
	}
}

// Close removes every proxy, as *homelink.Link's does.
func (l *Link) Close() error {
	l.once.Do(func() { close(l.closed) })
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.proxies)
	return nil
}

package correspondent

import (
	"errors"
	"io"
	"net/netip"
	"time"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/bindings"
	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/mipv6/mhsock"
	"github.com/vanycast/vanycast/mipv6/rr"
)

// core is the role without I/O. It is not safe for concurrent use.
type core struct {
	cfg         Config
	responder   *rr.Responder
	cache       *bindings.Cache
	limit       *mhsock.Limiter
	unreachable map[bindings.Key]unreachable
	counters    map[string]uint64
}

// actionKind is what the loop is to do.
type actionKind uint8

const (
	actSend   actionKind = iota + 1 // packet
	actSet                          // binding; if it fails, what bindFailed returns takes the place of the actions that follow
	actRemove                       // binding
)

type action struct {
	kind    actionKind
	packet  *mipv6.Packet
	binding dataplane.Binding
	answer  *answer // of actSet
}

func newCore(cfg Config, inUse func(bindings.Key) bool, random io.Reader) (*core, error) {
	responder, err := rr.NewResponder(rr.ResponderConfig{Rand: random})
	if err != nil {
		return nil, err
	}
	return &core{
		cfg:         cfg,
		responder:   responder,
		cache:       bindings.NewCache(bindings.Config{Limit: cfg.MaxBindings, PerPrefix: cfg.MaxPerPrefix, InUse: inUse}),
		limit:       mhsock.NewLimiter(),
		unreachable: make(map[bindings.Key]unreachable),
		counters:    make(map[string]uint64),
	}, nil
}

// message takes a received Mobility Header; false if it is not for a
// correspondent.
func (c *core) message(now time.Time, r mhsock.Received) (actions []action, handled bool) {
	m, err := mipv6.Parse(r.Message)
	if err != nil {
		c.count(CounterMalformed)
		return c.limited(now, mhsock.Refusal(r, err)), true // §9.2
	}
	switch m := m.(type) {
	case *mipv6.HomeTestInit:
		t, err := c.responder.HomeTest(now, r.Src, m)
		return c.test(r, t, err), true
	case *mipv6.CareOfTestInit:
		t, err := c.responder.CareOfTest(now, r.Src, m)
		return c.test(r, t, err), true
	case *mipv6.BindingUpdate:
		return c.update(now, r, m), true
	}
	return nil, false
}

// test sends a Home Test or Care-of Test back to where the init came from
// (§9.4). An init with a Home Address option is dropped: the address in the
// header is the one under test (§9.4.1, §9.4.2).
func (c *core) test(r mhsock.Received, m mipv6.Message, err error) []action {
	switch {
	case r.CareOf.IsValid() || !mipv6.IsUnicastRoutable(r.Src) || !mipv6.IsUnicastRoutable(r.Dst):
		c.count(CounterInvalid)
		return nil
	case errors.Is(err, rr.ErrRateLimited):
		c.count(CounterLimited)
		return nil
	case err != nil: // the random source has failed
		c.count(CounterFailed)
		return nil
	}
	p := &mipv6.Packet{Src: r.Dst, Dst: r.Src}
	if p.Carry(m, nil) != nil {
		return nil
	}
	c.count(CounterTests)
	return []action{{kind: actSend, packet: p}}
}

// event takes what the data plane noticed: a Home Address option without a
// binding draws a Binding Error (§9.3.3).
func (c *core) event(now time.Time, e dataplane.Event) []action {
	if e.Kind != dataplane.UnknownHomeAddress || !mipv6.IsUnicastRoutable(e.Source) || !mipv6.IsUnicastRoutable(e.Dest) {
		return nil
	}
	p := &mipv6.Packet{Src: e.Dest, Dst: e.Source}
	if p.Carry(&mipv6.BindingError{Status: mipv6.UnknownBinding, Home: e.Home}, nil) != nil {
		return nil
	}
	return c.limited(now, p)
}

// poll does what is due: removes what expired, and asks for the refresh of
// what is in use (§9.5.5).
func (c *core) poll(now time.Time) (actions []action) {
	for _, e := range c.cache.Poll(now) {
		switch e.Kind {
		case bindings.Expired:
			c.count(CounterExpired)
			actions = append(actions, c.removed(e.Binding)...)
		case bindings.RefreshRequest:
			p := &mipv6.Packet{Src: e.Binding.Local, Dst: e.Binding.CareOf, RoutingHome: e.Binding.Home}
			if p.Carry(&mipv6.BindingRefreshRequest{}, nil) == nil {
				actions = append(actions, action{kind: actSend, packet: p})
			}
		}
	}
	return actions
}

// next is when poll has something to do; false for never.
func (c *core) next() (time.Time, bool) { return c.cache.Next() }

// withdraw removes every binding: the role ends.
func (c *core) withdraw(now time.Time) (actions []action) {
	for _, b := range c.cache.Bindings() {
		c.cache.Remove(now, b.Key)
		actions = append(actions, c.removed(b)...)
	}
	return actions
}

// removed takes a binding that the cache no longer has out of the data plane.
func (c *core) removed(b bindings.Binding) []action {
	delete(c.unreachable, b.Key)
	return []action{{kind: actRemove, binding: planeBinding(b)}}
}

func planeBinding(b bindings.Binding) dataplane.Binding {
	return dataplane.Binding{Local: b.Local, Home: b.Home, CareOf: b.CareOf}
}

// limited sends an answer that strangers can provoke at will, or does not.
func (c *core) limited(now time.Time, p *mipv6.Packet) []action {
	if p == nil {
		return nil
	}
	if !c.limit.Allow(now, p.Dst) {
		c.count(CounterLimited)
		return nil
	}
	c.count(CounterErrors)
	return []action{{kind: actSend, packet: p}}
}

func (c *core) count(name string) { c.counters[name]++ }

// routable tells whether all are unicast routable addresses.
func routable(addrs ...netip.Addr) bool {
	for _, a := range addrs {
		if !mipv6.IsUnicastRoutable(a) {
			return false
		}
	}
	return true
}

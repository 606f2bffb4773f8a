package anycast

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/bindings"
	"github.com/vanycast/vanycast/mipv6/mhsock"
	"github.com/vanycast/vanycast/mipv6/rr"
)

// receive takes a Mobility Header; false if it is not for the mobile node's half
// of one of our contact addresses.
func (c *core) receive(now time.Time, r mhsock.Received) bool {
	ct := c.contacts[r.Dst]
	if ct == nil && r.Dst != c.cfg.careOf {
		return false
	}
	m, err := mipv6.Parse(r.Message)
	t, known := mipv6.PeekType(r.Message)
	switch {
	case err != nil && (ct != nil || known && ours(t, false)):
		c.count(CounterMalformed)
		c.refuse(now, r, err)
		return true
	case err != nil || !ours(t, ct != nil):
		return false
	case r.CareOf.IsValid():
		c.count(CounterInvalid)
		return true // a Home Address option, which none of these may have (RFC 6275 §6.1)
	}
	wanted := true
	switch m := m.(type) {
	case *mipv6.HomeTest:
		p := pair{Home: r.Dst, Client: r.Src}
		var e rr.Ended
		if e, wanted = c.relay.HomeTest(now, p, m); wanted {
			c.relayEnded(now, e)
		}
	case *mipv6.CareOfTest:
		wanted = c.careOfTest(now, r.Src, m)
	case *mipv6.BindingAcknowledgement:
		wanted = c.acknowledgement(now, ct, r, m)
	case *mipv6.BindingRefreshRequest:
		p := pair{Home: r.Dst, Client: r.Src}
		if !c.refreshRequested(now, p) {
			if wanted = ct.active; wanted {
				c.passRefresh(p)
			}
		}
	case *mipv6.BindingError:
		return c.bindingError(now, r.Src, m)
	}
	if !wanted {
		c.count(CounterUnexpected)
	}
	return true
}

// refuse answers what cannot be parsed as RFC 6275 §9.2 wants, at a bounded rate
// (RFC 4443 §2.4(f)).
func (c *core) refuse(now time.Time, r mhsock.Received, err error) {
	if now.Sub(c.refusals.since) >= time.Second {
		c.refusals.since, c.refusals.sent = now, 0
	}
	p := mhsock.Refusal(r, err)
	switch {
	case p == nil:
	case c.refusals.sent >= maxRefusals:
		c.count(CounterLimited)
	default:
		c.count(CounterErrors)
		c.refusals.sent++
		c.do(packetAction{p})
	}
}

// ours says which messages the mobile node's half takes: at the contact address,
// or at the care-of address.
func ours(t mipv6.Type, contact bool) bool {
	switch t {
	case mipv6.TypeHomeTest, mipv6.TypeBindingAcknowledgement, mipv6.TypeBindingRefreshRequest:
		return contact
	case mipv6.TypeCareOfTest:
		return !contact
	case mipv6.TypeBindingError:
		return true // it goes to where the packet came from: the care-of address
	}
	return false
}

func (c *core) relayEnded(now time.Time, e rr.Ended) {
	cl := c.clients[e.Pair]
	if cl == nil {
		return
	}
	err := e.Err
	var silent *rr.TimeoutError
	if errors.As(err, &silent) {
		if ct := c.contacts[e.Pair.Home]; ct.active {
			err = cl.silence(now, err)
		} else {
			// The home agent no longer takes our tests: that says nothing
			// about the client.
			err = fmt.Errorf("%w: %w", ErrNoHomeTest, ErrNotContactNode)
		}
	}
	c.homeTestEnded(now, cl, e.Token, err)
}

// acknowledgement takes a Binding Acknowledgement from the home agent or from a
// client; false if it answers nothing.
func (c *core) acknowledgement(now time.Time, ct *contact, r mhsock.Received, m *mipv6.BindingAcknowledgement) bool {
	if r.Src == ct.HomeAgent {
		return c.answered(c.homeAcknowledged(now, ct, m))
	}
	cl := c.clients[pair{Home: r.Dst, Client: r.Src}]
	if cl == nil || cl.op == nil || cl.op.phase != phaseUpdate {
		return false
	}
	if !c.authentic(cl, r.Message, m.Status) {
		c.count(CounterUnauthentic)
		return true
	}
	return c.answered(c.acknowledged(now, cl, m))
}

// answered counts what became of a Binding Update; false for nothing.
func (c *core) answered(k bindings.OutcomeKind) bool {
	switch k {
	case bindings.Ignored:
		return false
	case bindings.Accepted:
		c.count(CounterAccepted)
	default:
		c.count(CounterRefused)
	}
	return true
}

// authentic checks a client's acknowledgement (RFC 6275 §11.7.3). One that says
// that a nonce has expired cannot be authenticated (§9.5.4); believed, it costs
// one more round of tests.
func (c *core) authentic(cl *client, raw []byte, s mipv6.Status) bool {
	if expiredNonce(s) {
		return true
	}
	data, sent, err := mipv6.AuthenticatorInput(raw)
	if err != nil {
		return false
	}
	o := cl.op
	if o.params.Lifetime > 0 {
		return rr.Authentic(sent, o.keys.Kbm(), c.cfg.careOf, cl.Client, data)
	}
	return rr.Authentic(sent, o.keys.KbmDelete(), cl.Home, cl.Client, data)
}

// bindingError tells whether the error is about one of our contact addresses
// (RFC 6275 §11.3.6).
func (c *core) bindingError(now time.Time, from netip.Addr, m *mipv6.BindingError) bool {
	if _, ok := c.contacts[m.Home]; !ok {
		return false
	}
	if m.Status == mipv6.UnknownBinding {
		c.unknownBinding(now, pair{Home: m.Home, Client: from})
	}
	return true
}

// icmp takes an ICMPv6 error about one of our Mobility Headers; false if it is
// not about one of ours. Only an error that says that the client has no Mobile
// IPv6, and that quotes what we really sent, has any effect: others can be
// forged, or pass.
func (c *core) icmp(now time.Time, e mhsock.ICMPError) bool {
	home := e.Src
	if e.Home.IsValid() {
		home = e.Home
	}
	_, contact := c.contacts[home]
	if !contact && e.Src != c.cfg.careOf {
		return false
	}
	if !e.NoMobileIPv6() {
		return true
	}
	quoted, err := mipv6.Parse(e.Payload)
	if err != nil {
		return true // cut short: nothing to recognise it by
	}
	switch m := quoted.(type) {
	case *mipv6.HomeTestInit:
		if ended, ok := c.relay.Refuse(pair{Home: home, Client: e.Dst}, m.Cookie, ErrNoMobileIPv6); ok {
			c.relayEnded(now, ended)
		}
	case *mipv6.CareOfTestInit:
		for h := range c.contacts {
			cl := c.running[pair{Home: h, Client: e.Dst}]
			if cl != nil && cl.op.run.Asked(rr.NeedCareOf, m.Cookie) {
				c.noMobility(now, cl, "Care-of Test Init")
				return true
			}
		}
	case *mipv6.BindingUpdate:
		cl := c.clients[pair{Home: home, Client: e.Dst}]
		if cl == nil || cl.op == nil || cl.op.phase != phaseUpdate {
			return true
		}
		if u, ok := c.list.Get(target(cl.pair)); ok && u.Outstanding && u.Sequence == m.Sequence {
			c.noMobility(now, cl, "Binding Update")
		}
	}
	return true
}

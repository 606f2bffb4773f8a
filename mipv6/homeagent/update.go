package homeagent

import (
	"net/netip"
	"time"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/bindings"
	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/mipv6/mhsock"
)

// answer is a home registration, and what its Binding Acknowledgement is made
// of.
type answer struct {
	received mhsock.Received
	update   *mipv6.BindingUpdate

	id    *mipv6.BindingIdentifier // nil: none, or none that means anything here
	flows []bindings.FlowResult
}

func (a *answer) home() netip.Addr { return a.received.Src }

// careOf is that of the Alternate Care-of Address option, else the packet's
// source (§10.3.1).
func (a *answer) careOf() netip.Addr {
	if alt, ok := mipv6.FindOption[*mipv6.AlternateCareOf](a.update); ok {
		return alt.Addr
	}
	if a.id != nil && a.id.CareOf.IsValid() {
		return a.id.CareOf
	}
	return a.received.Source()
}

func (a *answer) request() bindings.Request {
	return bindings.Request{
		Key:    bindings.Key{Local: a.received.Dst, Home: a.home()},
		CareOf: a.careOf(), Sequence: a.update.Sequence, Lifetime: a.update.Lifetime,
		HomeRegistration: true, LinkLocal: a.update.LinkLocal, KeyManagement: a.update.KeyManagement,
	}
}

// packet is the acknowledgement. Its K bit stays clear: no key management moves
// with the mobile node here (§10.3.1).
func (a *answer) packet(r bindings.Result) *mipv6.Packet {
	p := a.received.Reply()
	m := &mipv6.BindingAcknowledgement{Status: r.Status, Sequence: r.Sequence, Lifetime: r.Lifetime}
	if a.id != nil { // who sees it again knows that it was understood (RFC 5648 §6.2)
		m.Options = append(m.Options, &mipv6.BindingIdentifier{ID: a.id.ID, Priority: a.id.Priority})
	}
	for _, f := range a.flows {
		m.Options = append(m.Options, &mipv6.FlowIdentification{ID: f.ID, Priority: f.Priority, Status: f.Status})
	}
	if p.Carry(m, nil) != nil {
		return nil
	}
	return p
}

func (a *answer) send(r bindings.Result) []action {
	if p := a.packet(r); p != nil {
		return []action{{kind: actSend, packet: p}}
	}
	return nil
}

// update takes a home registration (§10.3.1) or deregistration (§10.3.2). It is
// always acknowledged, whatever its A bit says (§10.3.1).
func (c *core) update(now time.Time, a *answer) []action {
	home, careOf := a.home(), a.careOf()
	if !mipv6.IsUnicastRoutable(home) || !mipv6.IsUnicastRoutable(a.received.Source()) || !mipv6.IsUnicastRoutable(a.received.Dst) {
		c.count(CounterInvalid)
		return nil
	}
	if _, ok := mipv6.FindOption[*mipv6.NonceIndices](a.update); ok {
		c.count(CounterInvalid) // of return routability: not in a home registration (§9.5.1)
		return nil
	}
	if a.received.Dst != c.cfg.Address {
		return c.refuse(now, a, mipv6.StatusHomeRegistrationNotSupported)
	}
	if actions, done := c.identified(now, a); done {
		return actions
	}
	careOf = a.careOf()
	request := a.request()
	if p := c.pending[home]; p != nil {
		if !request.Deletes() || !bindings.After(request.Sequence, p.answer.update.Sequence) {
			// Its retransmission, or another's attempt: whoever comes too early
			// comes again. Detection ends within a second, and is answered once.
			c.count(CounterPending)
			return nil
		}
		// The mobile node no longer wants what is being probed for it.
		c.count(CounterAccepted)
		return append(c.unpend(home), a.send(bindings.Result{Status: mipv6.StatusAccepted, Sequence: request.Sequence})...)
	}
	if request.Deletes() {
		return c.answered(now, a, c.cache.Update(now, request))
	}
	switch {
	case !c.cfg.Prefix.Contains(home):
		return c.refuse(now, a, mipv6.StatusNotHomeSubnet)
	case !c.cfg.Allow.permits(home, careOf):
		return c.refuse(now, a, mipv6.StatusAdministrativelyProhibited)
	case home == c.cfg.Address:
		return c.refuse(now, a, mipv6.StatusDuplicateAddressDetectionFailed) // it is in use: here
	case !mipv6.IsUnicastRoutable(careOf) || careOf == c.cfg.Address:
		return c.refuse(now, a, mipv6.StatusInvalidCareOf)
	}
	if b, ok := c.cache.Lookup(now, request.Key); ok {
		// What is defended was settled with the first registration.
		request.LinkLocal = b.LinkLocal
	}
	if _, isNew := c.cache.Check(now, request); isNew {
		return c.detect(now, a)
	}
	return c.answered(now, a, c.cache.Update(now, request))
}

// answered turns what the cache made of a request into actions. The data plane
// and the home link come first: who is told "accepted" can be reached.
func (c *core) answered(now time.Time, a *answer, r bindings.Result) []action {
	if !r.Status.Accepted() {
		c.count(CounterRefused)
		return c.refusal(now, a, a.packet(r))
	}
	c.count(CounterAccepted)
	var actions []action
	b := r.Change.Binding
	switch r.Change.Kind {
	case bindings.Created:
		for _, addr := range defended(b.Home, b.LinkLocal) {
			c.defences[addr] = defence{home: b.Home}
			actions = append(actions, action{kind: actAddProxy, addr: addr, answer: a})
		}
		actions = append(actions, c.tunnel(b, a))
		c.adverts[b.Home] = &advertisement{left: maxAdvertisements, linkLocal: b.LinkLocal}
		actions = append(actions, c.advertise(now, b.Home)...)
	case bindings.Moved, bindings.Refreshed:
		actions = append(actions, c.tunnel(b, a))
	case bindings.Removed:
		actions = c.removed(b)
	}
	actions = append(actions, c.settled(a, r.Change.Kind)...)
	return append(actions, a.send(r)...)
}

func (c *core) tunnel(b bindings.Binding, a *answer) action {
	return action{kind: actSetTunnel, answer: a,
		tunnel: dataplane.Tunnel{Home: b.Home, CareOf: b.CareOf, HomeAgent: c.cfg.Address}}
}

// refuse answers with a status of 128 or more.
func (c *core) refuse(now time.Time, a *answer, s mipv6.Status) []action {
	c.count(CounterRefused)
	return c.refusal(now, a, a.packet(bindings.Result{Status: s, Sequence: a.update.Sequence}))
}

// refusal sends a refusal; to a mobile node that is at home while it is still
// registered, by the home link.
func (c *core) refusal(now time.Time, a *answer, p *mipv6.Packet) []action {
	actions := c.limited(now, p)
	if len(actions) == 0 || p.Dst != a.home() {
		return actions
	}
	if _, bound := c.cache.Lookup(now, a.request().Key); !bound {
		return actions
	}
	return c.toHome(now, p)
}

// failed takes everything back that an action which the host refused was part
// of, and tells the mobile node.
func (c *core) failed(now time.Time, f action) []action {
	c.count(CounterFailed)
	if f.further.ID != 0 {
		return c.failedFurther(now, f)
	}
	home := f.answer.home()
	var actions []action
	if c.pending[home] != nil {
		actions = c.unpend(home)
	}
	if b, ok := c.cache.Remove(now, f.answer.request().Key); ok {
		actions = append(actions, c.removed(b)...)
	}
	return append(actions, c.limited(now, f.answer.packet(
		bindings.Result{Status: mipv6.StatusInsufficientResources, Sequence: f.answer.update.Sequence}))...)
}

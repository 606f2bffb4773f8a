package correspondent

import (
	"errors"
	"time"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/bindings"
	"github.com/vanycast/vanycast/mipv6/mhsock"
	"github.com/vanycast/vanycast/mipv6/rr"
)

// update takes a Binding Update (§9.5.1). The order of the tests decides what
// a stranger learns: what is not authorised by return routability hears
// nothing, but for an expired nonce.
func (c *core) update(now time.Time, r mhsock.Received, m *mipv6.BindingUpdate) []action {
	u := rr.Update{Message: m, Raw: r.Message, Home: r.Src, Source: r.Source(), Correspondent: r.Dst}
	careOf := u.CareOf()
	if !routable(u.Home, u.Source, careOf, u.Correspondent) || u.Home == u.Correspondent || careOf == u.Correspondent {
		c.count(CounterInvalid)
		return nil
	}
	a := &answer{received: r, update: m}
	if m.HomeRegistration { // §10.3.1: this is not a home agent
		c.count(CounterRefused)
		return c.limited(now, a.packet(bindings.Result{Status: mipv6.StatusHomeRegistrationNotSupported, Sequence: m.Sequence}))
	}
	authority, err := c.responder.Verify(now, u)
	var expired *rr.NonceError
	switch {
	case errors.As(err, &expired):
		c.count(CounterRefused)
		return c.limited(now, a.packet(bindings.Result{Status: expired.Status, Sequence: m.Sequence}))
	case err != nil:
		c.count(CounterUnauthorised)
		return nil
	}
	a.authority = &authority
	nonces, _ := mipv6.FindOption[*mipv6.NonceIndices](m) // Verify has found it
	result := c.cache.Update(now, bindings.Request{
		Key:      bindings.Key{Local: u.Correspondent, Home: u.Home},
		CareOf:   careOf,
		Sequence: m.Sequence,
		Lifetime: min(m.Lifetime, c.cfg.MaxLifetime),
		Nonces:   nonces,
	})
	if !result.Status.Accepted() {
		c.count(CounterRefused)
		return a.send(result)
	}
	c.count(CounterAccepted)
	delete(c.unreachable, bindings.Key{Local: u.Correspondent, Home: u.Home})
	var actions []action
	switch result.Change.Kind {
	case bindings.Created, bindings.Moved, bindings.Refreshed:
		actions = append(actions, action{kind: actSet, binding: planeBinding(result.Change.Binding), answer: a})
	case bindings.Removed:
		actions = c.removed(result.Change.Binding)
	}
	if m.Acknowledge {
		actions = append(actions, a.send(result)...)
	}
	return actions
}

// bindFailed takes back a binding that the data plane did not take, and tells
// the mobile node, which then goes on through its home agent (§9.5.2).
func (c *core) bindFailed(now time.Time, failed action) []action {
	c.count(CounterFailed)
	b := failed.binding
	c.cache.Remove(now, bindings.Key{Local: b.Local, Home: b.Home})
	return append([]action{{kind: actRemove, binding: b}},
		failed.answer.send(bindings.Result{Status: mipv6.StatusInsufficientResources, Sequence: failed.answer.update.Sequence})...)
}

// answer is what a Binding Acknowledgement is made of (§9.5.4).
type answer struct {
	received  mhsock.Received
	update    *mipv6.BindingUpdate
	authority *rr.Authority // nil: nothing to authenticate with
}

func (a *answer) send(r bindings.Result) []action {
	p := a.packet(r)
	if p == nil {
		return nil
	}
	return []action{{kind: actSend, packet: p}}
}

func (a *answer) packet(r bindings.Result) *mipv6.Packet {
	p := a.received.Reply()
	m := &mipv6.BindingAcknowledgement{Status: r.Status, Sequence: r.Sequence, Lifetime: r.Lifetime}
	var mac func([]byte) mipv6.Authenticator
	if a.authority != nil {
		mac = a.authority.Authenticate
	}
	if p.Carry(m, mac) != nil {
		return nil
	}
	return p
}

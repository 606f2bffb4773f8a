package anycast

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/bindings"
	"github.com/vanycast/vanycast/mipv6/mhsock"
	"github.com/vanycast/vanycast/mipv6/rr"
)

// The scenarios' other hosts: a correspondent and a home agent made of
// rr.Responder and bindings.Cache.

// pick takes all messages of a type off the wire and returns the newest, or with
// "first-" before it the oldest; the others are lost.
func (w *world) pick(what string) (sendAction, error) {
	what, first := strings.CutPrefix(what, "first-")
	types := map[string]mipv6.Type{"HoTI": mipv6.TypeHomeTestInit, "CoTI": mipv6.TypeCareOfTestInit, "BU": mipv6.TypeBindingUpdate}
	var found []sendAction
	w.wire = slices.DeleteFunc(w.wire, func(a sendAction) bool {
		if a.message.Type() != types[what] {
			return false
		}
		found = append(found, a)
		return true
	})
	switch {
	case len(found) == 0:
		return sendAction{}, fmt.Errorf("no %s on the wire", what)
	case first:
		return found[0], nil
	}
	return found[len(found)-1], nil
}

// encode makes the bytes that the core wanted sent.
func encode(a sendAction) (*mipv6.Packet, error) {
	p := &mipv6.Packet{Src: a.src, Dst: a.dst, HomeAddress: a.home}
	var mac func([]byte) mipv6.Authenticator
	if a.key != nil {
		mac = func(d []byte) mipv6.Authenticator { return rr.Authenticate(*a.key, a.covered, a.dst, d) }
	}
	return p, p.Carry(a.message, mac)
}

// receive gives the core a message.
func (w *world) receive(r mhsock.Received, m mipv6.Message) {
	w.receiveAuthenticated(r, m, nil)
}

func (w *world) receiveAuthenticated(r mhsock.Received, m mipv6.Message, mac func([]byte) mipv6.Authenticator) {
	p := &mipv6.Packet{Src: r.Src, Dst: r.Dst}
	if err := p.Carry(m, mac); err != nil {
		w.t.Fatal(err)
	}
	r.Message = p.Payload
	if w.deaf {
		return
	}
	if !w.core.receive(w.now, r) {
		w.t.Errorf("%v is not taken", m.Type())
	}
}

// answer has a message of a type answered by whom it went to.
func (w *world) answer(what string) error {
	a, err := w.pick(what)
	if err != nil {
		return err
	}
	p, err := encode(a)
	if err != nil {
		return err
	}
	m, err := mipv6.Parse(p.Payload)
	if err != nil {
		return err
	}
	switch m := m.(type) {
	case *mipv6.HomeTestInit:
		t, err := w.client.HomeTest(w.now, a.src, m)
		if err != nil {
			return err
		}
		w.receive(mhsock.Received{Src: modern, Dst: a.src}, t)
	case *mipv6.CareOfTestInit:
		t, err := w.client.CareOfTest(w.now, a.src, m)
		if err != nil {
			return err
		}
		w.receive(mhsock.Received{Src: modern, Dst: a.src}, t)
	case *mipv6.BindingUpdate:
		if a.dst == homeAgent {
			w.answerHome(a, m)
			return nil
		}
		return w.answerUpdate(p, m)
	}
	return nil
}

func (w *world) answerHome(a sendAction, m *mipv6.BindingUpdate) {
	req := bindings.Request{
		Key: bindings.Key{Local: homeAgent, Home: a.home}, CareOf: a.src, Sequence: m.Sequence,
		Lifetime: m.Lifetime, HomeRegistration: m.HomeRegistration,
	}
	res := w.home.Update(w.now, req)
	w.print("home agent: %v seq=%d, binding %v", res.Status, res.Sequence, res.Change.Kind)
	w.receive(mhsock.Received{Src: homeAgent, Dst: contactAddr},
		&mipv6.BindingAcknowledgement{Status: res.Status, Sequence: res.Sequence, Lifetime: res.Lifetime})
}

// answerUpdate is RFC 6275 §9.5 at the client.
func (w *world) answerUpdate(p *mipv6.Packet, m *mipv6.BindingUpdate) error {
	u := rr.Update{Message: m, Raw: p.Payload, Home: p.HomeAddress, Source: p.Src, Correspondent: modern}
	auth, err := w.client.Verify(w.now, u)
	ack := mhsock.Received{Src: modern, Dst: contactAddr}
	var expired *rr.NonceError
	if errors.As(err, &expired) {
		w.print("client: %v", expired.Status)
		w.receive(ack, &mipv6.BindingAcknowledgement{Status: expired.Status, Sequence: m.Sequence})
		return nil
	}
	if err != nil {
		return err
	}
	ni, _ := mipv6.FindOption[*mipv6.NonceIndices](m)
	res := w.cache.Update(w.now, bindings.Request{
		Key: clientKey, CareOf: u.CareOf(), Sequence: m.Sequence, Lifetime: m.Lifetime, Nonces: ni,
	})
	w.print("client: %v seq=%d, binding %v", res.Status, res.Sequence, res.Change.Kind)
	w.receiveAuthenticated(ack, &mipv6.BindingAcknowledgement{Status: res.Status, Sequence: res.Sequence, Lifetime: res.Lifetime},
		auth.Authenticate)
	return nil
}

var clientKey = bindings.Key{Local: modern, Home: contactAddr}

// refuse has a message answered by an ICMPv6 parameter problem; "forged" gives
// it a cookie or number that was never sent.
func (w *world) refuse(what, forged string) error {
	a, err := w.pick(what)
	if err != nil {
		return err
	}
	if forged == "forged" {
		w.wire = append(w.wire, a)
		switch m := a.message.(type) {
		case *mipv6.HomeTestInit:
			a.message = &mipv6.HomeTestInit{Cookie: mipv6.Cookie{m.Cookie[0] ^ 1}}
		case *mipv6.CareOfTestInit:
			a.message = &mipv6.CareOfTestInit{Cookie: mipv6.Cookie{m.Cookie[0] ^ 1}}
		case *mipv6.BindingUpdate:
			other := *m
			other.Sequence += 100
			a.message = &other
		}
	}
	p, err := encode(a)
	if err != nil {
		return err
	}
	e := mhsock.ICMPError{
		From: a.dst, Type: mhsock.TypeParameterProblem, Code: mhsock.CodeUnrecognizedNextHeader,
		Src: a.src, Dst: a.dst, Home: a.home, MHType: a.message.Type(), Mobility: true, Payload: p.Payload,
	}
	if a.home.IsValid() {
		e.Code = mhsock.CodeUnrecognizedOption
	}
	if !w.core.icmp(w.now, e) {
		w.t.Error("the ICMPv6 error is not taken")
	}
	return nil
}

// relay is the outcome of asking the contact node, on the wire and back.
func (w *world) relay(node, what string) error {
	errs := map[string]error{
		"token": nil, "no-mobility": ErrNoMobileIPv6, "silent": errSilent, "not-contact-node": ErrNotContactNode,
		"failed": ErrNoHomeTest,
	}
	said, ok := errs[what]
	if !ok {
		return fmt.Errorf("unknown outcome %q", what)
	}
	var t rr.HomeToken
	if said == nil {
		t = w.token()
	}
	b, err := marshalAnswer(w.now, t, said)
	if err != nil {
		return err
	}
	got, err := parseAnswer(w.now, b)
	from := longNames[node]
	if err != nil && !errors.Is(err, ErrNoMobileIPv6) {
		from, err = netip.Addr{}, fmt.Errorf("%w: %w", ErrNoHomeTest, err)
	}
	w.core.homeToken(w.now, testPair, from, got, err)
	return nil
}

// other is what another replica tells the client or the home agent meanwhile.
func (w *world) other(whom, number string) error {
	n, err := strconv.ParseUint(strings.TrimPrefix(number, "seq="), 10, 16)
	if err != nil {
		return err
	}
	req := bindings.Request{
		Key: clientKey, CareOf: reich, Sequence: uint16(n), Lifetime: 600 * time.Second,
		Nonces: &mipv6.NonceIndices{},
	}
	cache := w.cache
	if whom == "ha" {
		cache, req.Nonces, req.HomeRegistration = w.home, nil, true
		req.Key.Local = homeAgent
	}
	res := cache.Update(w.now, req)
	w.print("other: %v seq=%d, binding %v", res.Status, res.Sequence, res.Change.Kind)
	return nil
}

package anycast

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/relay"
)

// A call of kind peer.KindBinding cedes the binding of a client: version 8 (1) |
// contact address 128 | client 128 | mark: length 16, bytes | entries as package
// relay has them. The answer is one octet, a bindingAnswer.

// bindingAnswer says what became of it.
type bindingAnswer uint8

const (
	bindingTaken   bindingAnswer = iota // the client is bound to who answers
	bindingRefused                      // the client was told nothing
	bindingTouched                      // it may have been
	bindingAnswers
)

func (b bindingAnswer) String() string {
	return [...]string{"taken", "refused", "the client did not accept"}[b]
}

func marshalBinding(p pair, m Mark, all []relay.Entry) ([]byte, error) {
	mark, err := m.MarshalBinary()
	if err != nil {
		return nil, err
	}
	b := binary.BigEndian.AppendUint16(marshalRequest(p), uint16(len(mark)))
	return relay.AppendEntries(append(b, mark...), all), nil
}

func parseBinding(b []byte) (pair, Mark, []relay.Entry, error) {
	fail := func(err error) (pair, Mark, []relay.Entry, error) { return pair{}, Mark{}, nil, err }
	if len(b) < requestLen+2 {
		return fail(fmt.Errorf("anycast: decode binding: %d octets, want at least %d", len(b), requestLen+2))
	}
	p, err := parseRequest(b[:requestLen])
	if err != nil {
		return fail(err)
	}
	for _, a := range []netip.Addr{p.Home, p.Client} {
		if !mipv6.IsUnicastRoutable(a) {
			return fail(fmt.Errorf("anycast: decode binding: address %v", a))
		}
	}
	n, rest := int(binary.BigEndian.Uint16(b[requestLen:])), b[requestLen+2:]
	if n > len(rest) {
		return fail(fmt.Errorf("anycast: decode binding: mark of %d octets in %d", n, len(rest)))
	}
	var m Mark
	if err := m.UnmarshalBinary(rest[:n]); err != nil {
		return fail(err)
	}
	if m.Relayed {
		return fail(fmt.Errorf("anycast: decode binding: mark of a relayed connection"))
	}
	all, err := relay.ParseEntries(p.Home, p.Client, rest[n:])
	if err != nil {
		return fail(err)
	}
	return p, m, all, nil
}

func parseBindingAnswer(b []byte) (bindingAnswer, error) {
	if len(b) != 1 || b[0] >= byte(bindingAnswers) {
		return 0, fmt.Errorf("anycast: decode answer to binding: % x", b)
	}
	return bindingAnswer(b[0]), nil
}

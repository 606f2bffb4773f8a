package election

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/vanycast/vanycast/mipv6"
)

// View is what a replica tells others about a contact address.
type View struct {
	// Epoch is the sequence number of the last home registration that it knows of,
	// if Known, and Node whose it was, if it knows that.
	Epoch uint16
	Known bool
	Node  netip.Addr
	// Active: it is the contact node itself. Sees: it is in touch with the contact
	// node Node.
	Active, Sees bool
	// Leaving: it is about to end. Unable: the home agent did not answer it, or
	// refused it.
	Leaving, Unable bool
	// Yield is the better candidate that an active one gives way to.
	Yield netip.Addr
}

// String is for logs and scenarios.
func (v View) String() string {
	var b strings.Builder
	if v.Known {
		fmt.Fprintf(&b, "epoch=%d", v.Epoch)
	} else {
		b.WriteString("epoch=?")
	}
	if v.Node.IsValid() {
		fmt.Fprintf(&b, " node=%v", v.Node)
	}
	for _, f := range []struct {
		on   bool
		name string
	}{{v.Active, "active"}, {v.Sees, "sees"}, {v.Leaving, "leaving"}, {v.Unable, "unable"}} {
		if f.on {
			b.WriteString(" " + f.name)
		}
	}
	if v.Yield.IsValid() {
		fmt.Fprintf(&b, " yield=%v", v.Yield)
	}
	return b.String()
}

// A View on the wire, both ways, in network byte order. An address that is not
// there is all zeroes.
//
//	version 8 (1) | flags 8 | epoch 16 | contact address 128 | node 128 | yield 128
const (
	wireVersion = 1
	viewLen     = 4 + 3*16

	flagKnown   = 1 << 0
	flagActive  = 1 << 1
	flagSees    = 1 << 2
	flagLeaving = 1 << 3
	flagUnable  = 1 << 4
	flagsAll    = flagUnable<<1 - 1
)

// ErrMalformed: a message of a peer that is not what it should be.
var ErrMalformed = errors.New("malformed message")

func (v View) flags() (f byte) {
	for _, x := range []struct {
		on   bool
		flag byte
	}{{v.Known, flagKnown}, {v.Active, flagActive}, {v.Sees, flagSees}, {v.Leaving, flagLeaving}, {v.Unable, flagUnable}} {
		if x.on {
			f |= x.flag
		}
	}
	return f
}

func marshalView(contact netip.Addr, v View) []byte {
	b := binary.BigEndian.AppendUint16([]byte{wireVersion, v.flags()}, v.Epoch)
	for _, a := range []netip.Addr{contact, v.Node, v.Yield} {
		var a16 [16]byte
		if a.IsValid() {
			a16 = a.As16()
		}
		b = append(b, a16[:]...)
	}
	return b
}

func parseView(b []byte) (contact netip.Addr, v View, err error) {
	malformed := func(what string) (netip.Addr, View, error) {
		return netip.Addr{}, View{}, fmt.Errorf("election: decode view: %w: %s: % x", ErrMalformed, what, b)
	}
	switch {
	case len(b) != viewLen:
		return malformed(fmt.Sprintf("%d octets, want %d", len(b), viewLen))
	case b[0] != wireVersion:
		return malformed(fmt.Sprintf("version %d, want %d", b[0], wireVersion))
	case b[1]&^flagsAll != 0:
		return malformed("unknown flags")
	}
	f := b[1]
	v = View{
		Epoch: binary.BigEndian.Uint16(b[2:]), Known: f&flagKnown != 0, Active: f&flagActive != 0, Sees: f&flagSees != 0,
		Leaving: f&flagLeaving != 0, Unable: f&flagUnable != 0,
	}
	for i, to := range []*netip.Addr{&contact, &v.Node, &v.Yield} {
		a := netip.AddrFrom16([16]byte(b[4+16*i:]))
		if i > 0 && a == netip.IPv6Unspecified() {
			continue
		}
		if !mipv6.IsUnicastRoutable(a) {
			return malformed(fmt.Sprintf("address %v", a))
		}
		*to = a
	}
	if !v.Known && (v.Epoch != 0 || v.Active) || v.Yield.IsValid() && !v.Active {
		return malformed("contradiction")
	}
	return contact, v, nil
}

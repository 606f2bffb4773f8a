package ipsec_test

import (
	"testing"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/esp"
	"github.com/vanycast/vanycast/mipv6/ipsec"
	"github.com/vanycast/vanycast/mipv6/mhsock"
)

// FuzzOpened: who has the keys may put anything into a packet; what is passed on
// is a Mobility Header with a right checksum, or a whole packet of the home
// address.
func FuzzOpened(f *testing.F) {
	init := mipv6.Packet{Src: pair.Home, Dst: clientAddr, HopLimit: 64}
	if err := init.Carry(&mipv6.HomeTestInit{}, nil); err != nil {
		f.Fatal(err)
	}
	b, err := init.MarshalBinary()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint8(ipsec.TestInit), uint8(41), b)
	f.Add(uint8(ipsec.Update), uint8(135), init.Payload)
	f.Fuzz(func(t *testing.T, purpose, next uint8, payload []byte) {
		p := ipsec.Purpose(purpose % 4)
		g := generate(t, 1, esp.AESGCM)
		e := newEnds(t, g)
		to, r := e.agent, mhsock.Received{Src: pair.Home, CareOf: pair.CareOf, Dst: pair.HomeAgent}
		switch p {
		case ipsec.TestInit:
			r = mhsock.Received{Src: pair.CareOf, Dst: pair.HomeAgent}
		case ipsec.Acknowledgement:
			to, r = e.replica, mhsock.Received{Src: pair.HomeAgent, Dst: pair.Home}
		case ipsec.Test:
			to, r = e.replica, mhsock.Received{Src: pair.HomeAgent, Dst: pair.CareOf}
		}
		in := &insider{t: t, g: g}
		r.Message = in.seal(p, next, payload)
		o, err := to.Open(e.now, r)
		if err != nil {
			return
		}
		if o.Forward != nil {
			got, err := mipv6.ParsePacket(o.Forward)
			if err != nil || got.Src != pair.Home || got.Dst != o.Dst {
				t.Fatalf("forwards %x to %v: %v", o.Forward, o.Dst, err)
			}
			return
		}
		if m := o.Received; !mipv6.VerifyChecksum(m.Message, m.Src, m.Dst) {
			t.Fatalf("passes on %+v", m)
		}
	})
}

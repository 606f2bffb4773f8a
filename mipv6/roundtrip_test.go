package mipv6

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

func drawAddr(t *rapid.T, label string) netip.Addr {
	return netip.AddrFrom16([16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, label)))
}

func drawTime(t *rapid.T, label string) time.Duration {
	return time.Duration(rapid.Uint16().Draw(t, label)) * TimeUnit
}

func drawOptions(t *rapid.T) (options []Option) {
	for range rapid.IntRange(0, 6).Draw(t, "options") {
		switch rapid.IntRange(0, 6).Draw(t, "kind") {
		case 0:
			options = append(options, &RefreshAdvice{drawTime(t, "interval")})
		case 1:
			options = append(options, &AlternateCareOf{drawAddr(t, "care-of")})
		case 2:
			options = append(options, &NonceIndices{rapid.Uint16().Draw(t, "home nonce"), rapid.Uint16().Draw(t, "care-of nonce")})
		case 3:
			kind := rapid.Uint8Range(6, 255).Filter(func(k uint8) bool { _, unknown := newOption(k).(*UnknownOption); return unknown }).Draw(t, "type")
			options = append(options, &UnknownOption{kind, rapid.SliceOfN(rapid.Byte(), 0, 255).Draw(t, "data")})
		case 4:
			o := &BindingIdentifier{ID: rapid.Uint16().Draw(t, "BID"), Status: Status(rapid.Byte().Draw(t, "status")),
				Home: rapid.Bool().Draw(t, "H"), Priority: rapid.Uint8Range(0, 127).Draw(t, "priority")}
			if rapid.Bool().Draw(t, "with care-of") {
				o.CareOf = drawAddr(t, "care-of")
			}
			options = append(options, o)
		case 5:
			options = append(options, &FlowSummary{rapid.SliceOfN(rapid.Uint16(), 0, MaxFlowSummary).Draw(t, "FIDs")})
		case 6:
			options = append(options, drawFlow(t))
		}
	}
	return options
}

func drawMessage(t *rapid.T) Message {
	options := drawOptions(t)
	index := rapid.Uint16().Draw(t, "16 bits")
	flag := func() bool { return rapid.Bool().Draw(t, "flag") }
	cookie := Cookie(rapid.SliceOfN(rapid.Byte(), 8, 8).Draw(t, "cookie"))
	token := KeygenToken(rapid.SliceOfN(rapid.Byte(), 8, 8).Draw(t, "token"))
	switch Type(rapid.Uint8Range(0, 7).Draw(t, "type")) {
	case TypeBindingRefreshRequest:
		return &BindingRefreshRequest{options}
	case TypeHomeTestInit:
		return &HomeTestInit{cookie, options}
	case TypeCareOfTestInit:
		return &CareOfTestInit{cookie, options}
	case TypeHomeTest:
		return &HomeTest{index, cookie, token, options}
	case TypeCareOfTest:
		return &CareOfTest{index, cookie, token, options}
	case TypeBindingUpdate:
		return &BindingUpdate{index, flag(), flag(), flag(), flag(), drawTime(t, "lifetime"), options}
	case TypeBindingAcknowledgement:
		return &BindingAcknowledgement{Status(rapid.Byte().Draw(t, "status")), flag(), index, drawTime(t, "lifetime"), options}
	default:
		return &BindingError{BindingErrorStatus(rapid.Byte().Draw(t, "status")), drawAddr(t, "home"), options}
	}
}

// Any packet with any message comes back as it went, its checksum right for
// the addresses that ChecksumAddresses names, authenticated or not.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawMessage(t)
		p := &Packet{Src: drawAddr(t, "src"), Dst: drawAddr(t, "dst"), HopLimit: rapid.Byte().Draw(t, "hop limit")}
		if rapid.Bool().Draw(t, "home address option") {
			p.HomeAddress = drawAddr(t, "home address")
		}
		if rapid.Bool().Draw(t, "routing header") {
			p.RoutingHome = drawAddr(t, "routing home")
		}
		var mac func([]byte) Authenticator
		var signed string
		if rapid.Bool().Draw(t, "authenticated") {
			mac = func(d []byte) Authenticator { signed = string(d); return auth }
		}
		if err := p.Carry(m, mac); err != nil {
			t.Fatalf("Carry: %v", err)
		}
		b, err := p.MarshalBinary()
		if err != nil {
			t.Fatalf("MarshalBinary: %v", err)
		}
		got, err := ParsePacket(b)
		if err != nil {
			t.Fatalf("ParsePacket: %v", err)
		}
		if d := cmp.Diff(p, got, compareAddr); d != "" {
			t.Fatalf("packet (-want +got):\n%s", d)
		}
		if src, dst := got.ChecksumAddresses(); !VerifyChecksum(got.Payload, src, dst) {
			t.Fatalf("wrong checksum")
		}
		if mac != nil {
			data, a, err := AuthenticatorInput(got.Payload)
			if err != nil || a != auth || string(data) != signed {
				t.Fatalf("AuthenticatorInput: %x, %x, %v", data, a, err)
			}
			options := m.mobilityOptions()
			*options = append(*options, &AuthorizationData{auth})
		}
		back, err := Parse(got.Payload)
		if err != nil {
			t.Fatalf("Parse: %v", err)
		}
		if d := cmp.Diff(m, back, compareAddr, cmpopts.EquateEmpty()); d != "" {
			t.Fatalf("message (-want +got):\n%s", d)
		}
	})
}

func drawFlow(t *rapid.T) *FlowIdentification {
	o := &FlowIdentification{ID: rapid.Uint16().Draw(t, "FID"), Priority: rapid.Uint16().Draw(t, "priority"),
		Status:   FlowStatus(rapid.Byte().Draw(t, "status")),
		Bindings: rapid.SliceOfN(rapid.Uint16(), 0, 8).Draw(t, "BIDs")}
	if rapid.Bool().Draw(t, "with selector") {
		kind := func() RangeKind { return RangeKind(rapid.Uint8Range(0, 2).Draw(t, "range")) }
		o.Selector = &TrafficSelector{
			Source: drawRange(t, kind(), drawAddr), Destination: drawRange(t, kind(), drawAddr),
			SPI: drawRange(t, kind(), draw(rapid.Uint32())), FlowLabel: drawRange(t, kind(), draw(rapid.Uint32())),
			SourcePort: drawRange(t, kind(), draw(rapid.Uint16())), DestinationPort: drawRange(t, kind(), draw(rapid.Uint16())),
			TrafficClass: drawRange(t, kind(), draw(rapid.Uint8())), Protocol: drawRange(t, kind(), draw(rapid.Uint8())),
		}
	}
	if rapid.Bool().Draw(t, "with another") {
		o.Others = []FlowSubOption{{rapid.Uint8Range(4, 255).Draw(t, "type"), rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "data")}}
	}
	return o
}

func draw[T any](g *rapid.Generator[T]) func(*rapid.T, string) T { return g.Draw }

func drawRange[T any](t *rapid.T, k RangeKind, draw func(*rapid.T, string) T) (r Range[T]) {
	r.Kind = k
	if k > Anything {
		r.Start = draw(t, "start")
	}
	if k == Span {
		r.End = draw(t, "end")
	}
	return r
}

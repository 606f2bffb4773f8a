// Package describe says what is in a packet, for the scenarios of the roles.
package describe

import (
	"fmt"
	"strings"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/internal/nd"
)

// Packet is a packet in one line, its checksum verified. Cookies, tokens and
// authenticators are random and so not shown, only that they are there.
func Packet(p *mipv6.Packet) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v > %v", p.Src, p.Dst)
	if p.HomeAddress.IsValid() {
		fmt.Fprintf(&b, " home-address-option %v", p.HomeAddress)
	}
	if p.RoutingHome.IsValid() {
		fmt.Fprintf(&b, " routing-header %v", p.RoutingHome)
	}
	b.WriteString(": " + payload(p))
	return b.String()
}

func payload(p *mipv6.Packet) string {
	src, dst := p.ChecksumAddresses()
	if p.NextHeader == nd.Protocol {
		if m, err := nd.Parse(p.Payload); err == nil {
			return neighbour(m)
		}
	}
	if p.NextHeader == nd.Protocol && mipv6.Checksum(p.Payload, nd.Protocol, src, dst.WithZone("")) != 0 {
		return "ICMPv6 with a wrong checksum"
	}
	if p.NextHeader == nd.Protocol && len(p.Payload) >= 8 {
		if s := discovery(p.Payload); s != "" {
			return s
		}
		return fmt.Sprintf("ICMPv6 type %d code %d pointer %d", p.Payload[0], p.Payload[1], p.Payload[7])
	}
	if !mipv6.VerifyChecksum(p.Payload, src, dst) {
		return "wrong checksum"
	}
	m, err := mipv6.Parse(p.Payload)
	if err != nil {
		return err.Error()
	}
	return message(m)
}

func neighbour(m *nd.Message) string {
	s := "Neighbor Solicitation"
	if m.Advertisement {
		s = "Neighbor Advertisement"
	}
	s += " " + m.Target.String()
	for _, f := range []struct {
		set  bool
		name string
	}{{m.Router, "router"}, {m.Solicited, "solicited"}, {m.Override, "override"}, {len(m.Nonce) > 0, "nonce"}} {
		if f.set {
			s += ", " + f.name
		}
	}
	if len(m.LinkLayer) > 0 {
		s += ", at " + m.LinkLayer.String()
	}
	return s
}

// message is a message in one line.
func message(m mipv6.Message) string {
	s := m.Type().String()
	var options []mipv6.Option
	switch m := m.(type) {
	case *mipv6.HomeTest:
		s += fmt.Sprintf(", nonce %d, cookie %d", m.NonceIndex, m.Cookie[7])
		options = m.Options
	case *mipv6.CareOfTest:
		s += fmt.Sprintf(", nonce %d, cookie %d", m.NonceIndex, m.Cookie[7])
		options = m.Options
	case *mipv6.BindingAcknowledgement:
		s += fmt.Sprintf(", status %d (%v), number %d, lifetime %v", m.Status, m.Status, m.Sequence, m.Lifetime)
		if m.KeyManagement {
			s += ", K"
		}
		options = m.Options
	case *mipv6.BindingError:
		s += fmt.Sprintf(", status %d (%v), home address %v", m.Status, m.Status, m.Home)
		options = m.Options
	case *mipv6.BindingRefreshRequest:
		options = m.Options
	}
	for _, o := range options {
		switch o := o.(type) {
		case *mipv6.AuthorizationData:
			s += ", authenticated"
		case *mipv6.RefreshAdvice:
			s += fmt.Sprintf(", refresh in %v", o.Interval)
		case *mipv6.BindingIdentifier:
			s += fmt.Sprintf(", BID %d priority %d", o.ID, o.Priority)
		case *mipv6.FlowIdentification:
			s += fmt.Sprintf(", FID %d priority %d status %d (%v)", o.ID, o.Priority, o.Status, o.Status)
		default:
			s += fmt.Sprintf(", %T", o)
		}
	}
	return s
}

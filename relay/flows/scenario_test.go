package flows

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vanycast/vanycast/internal/scenario"
	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/relay"
)

const (
	home  = "2001:db8:9::1"
	agent = "2001:db8:9::ff"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// story is one scenario: the core, and the last update that it sent.
//
//	want port= number=          a connection of the client's port, and its relay sequence number
//	unwant port=
//	able [no] [unreachable]     the contact node's answer
//	ack status= [number=] [life=] [all=FLOW STATUS] [missing=FID] [foreign] [stranger]   of the last update
//	at t=5s                     let time pass, and say what happens when
//	close
type story struct {
	t    *testing.T
	core *core
	now  time.Time
	last *mipv6.BindingUpdate
}

func TestScenarios(t *testing.T) {
	scenario.Run(t, func(t *testing.T) func(scenario.Command) string {
		s := &story{t: t, now: start, core: newCore(netip.MustParseAddr("2001:db8:3::10"), func() uint16 { return 99 })}
		s.core.add(Contact{Address: netip.MustParseAddr(home), HomeAgent: netip.MustParseAddr(agent), Lifetime: 10 * time.Minute})
		return s.run
	})
}

func conn(port uint16) relay.Conn {
	return relay.Conn{Contact: netip.AddrPortFrom(netip.MustParseAddr(home), 4000),
		Client: netip.AddrPortFrom(netip.MustParseAddr("2001:db8:b::10"), port)}
}

func (s *story) run(c scenario.Command) string {
	switch c.Name {
	case "want":
		s.core.want(s.now, conn(uint16(c.Int("port", 1))), uint16(c.Int("number", 1)))
	case "unwant":
		s.core.unwant(s.now, conn(uint16(c.Int("port", 1))))
	case "able":
		var err error
		if c.Has("unreachable") {
			err = errors.New("unreachable")
		}
		s.core.answered(s.now, netip.MustParseAddr(home), !c.Has("no"), err)
	case "ack":
		return s.ack(c)
	case "close":
		s.core.close(s.now, netip.MustParseAddr(home))
	case "at":
		return s.until(start.Add(c.Duration("t")))
	default:
		return c.Unknown()
	}
	s.core.poll(s.now)
	return s.taken()
}

// until lets every deadline before the end happen at its moment.
func (s *story) until(end time.Time) string {
	var b strings.Builder
	for {
		next, ok := s.core.next()
		if !ok || next.After(end) {
			s.now = end
			return b.String()
		}
		s.now = next
		s.core.poll(s.now)
		if out := s.taken(); out != "" {
			fmt.Fprintf(&b, "at %v\n%s", s.now.Sub(start), out)
		}
	}
}

func (s *story) ack(c scenario.Command) string {
	m := &mipv6.BindingAcknowledgement{Status: mipv6.Status(c.Int("status", 0)), Sequence: uint16(c.Int("number", int(s.last.Sequence))),
		Lifetime: c.Seconds("life", int(s.last.Lifetime/time.Second))}
	id, _ := mipv6.FindOption[*mipv6.BindingIdentifier](s.last)
	if !c.Has("foreign") { // as from a home agent that skips the option
		m.Options = append(m.Options, &mipv6.BindingIdentifier{ID: id.ID, Priority: id.Priority})
	}
	for _, f := range mipv6.FindOptions[*mipv6.FlowIdentification](s.last) {
		m.Options = append(m.Options, &mipv6.FlowIdentification{ID: f.ID, Priority: f.Priority, Status: mipv6.FlowStatus(c.Int("all", 0))})
	}
	if c.Has("missing") {
		for _, w := range mipv6.FindOptions[*mipv6.FlowSummary](s.last) {
			m.Options = append(m.Options, &mipv6.FlowIdentification{ID: w.IDs[c.Int("missing", 0)], Status: mipv6.FlowUnknown})
		}
	}
	from := agent
	if c.Has("stranger") {
		from = "2001:db8:b::10"
	}
	if !s.core.acknowledgement(s.now, netip.MustParseAddr(home), netip.MustParseAddr(from), m) {
		return "not ours\n"
	}
	s.core.poll(s.now)
	return s.taken()
}

// taken says what is to be done. Identifiers are hashes, so flows are named by their port.
func (s *story) taken() string {
	var b strings.Builder
	for _, a := range s.core.take() {
		switch a := a.(type) {
		case askAction:
			fmt.Fprintf(&b, "ask the contact node of %v\n", a.contact)
		case sendAction:
			s.last = a.message
			fmt.Fprintf(&b, "update %d, lifetime %v%s\n", a.message.Sequence, a.message.Lifetime, s.flows(a.message))
		case boundAction:
			fmt.Fprintf(&b, "port %d bound: %v\n", a.conn.Client.Port(), a.bound)
		case closedAction:
			fmt.Fprintf(&b, "closed %v\n", a.contact)
		case logAction:
			fmt.Fprintf(&b, "log: %s\n", a.msg)
		}
	}
	return b.String()
}

func (s *story) flows(m *mipv6.BindingUpdate) string {
	var parts []string
	for _, o := range mipv6.FindOptions[*mipv6.FlowIdentification](m) {
		parts = append(parts, fmt.Sprintf("port %d priority %d", o.Selector.SourcePort.Start, o.Priority))
	}
	for _, o := range mipv6.FindOptions[*mipv6.FlowSummary](m) {
		var kept []string
		for _, id := range o.IDs {
			port := "?"
			if f := s.core.contacts[netip.MustParseAddr(home)].byID[id]; f != nil {
				port = strconv.Itoa(int(f.conn.Client.Port()))
			}
			kept = append(kept, port)
		}
		slices.Sort(kept)
		parts = append(parts, "kept "+strings.Join(kept, " "))
	}
	if len(parts) == 0 {
		return ""
	}
	return ": " + strings.Join(parts, ", ")
}

package homeagent

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/vanycast/vanycast/internal/scenario"
	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/dataplane"
)

// flowOptions are the Binding Identifier and the flow options of a command.
func (s *story) flowOptions(c scenario.Command) (options []mipv6.Option) {
	if !c.Has("bid") {
		return nil
	}
	id := &mipv6.BindingIdentifier{ID: uint16(c.Int("bid", 0)), Priority: uint8(c.Int("priority", mipv6.LeastBindingPriority)), Home: c.Has("foreign-home")}
	options = append(options, id)
	if c.Has("twice") {
		options = append(options, id)
	}
	for _, w := range c.Words {
		if strings.Contains(w, "/") {
			options = append(options, s.flowOption(w, id.ID))
		}
	}
	if c.Has("keep") {
		summary := &mipv6.FlowSummary{}
		for _, w := range strings.Split(c.String("keep", ""), ",") {
			summary.IDs = append(summary.IDs, s.number(w))
		}
		options = append(options, summary)
	}
	return options
}

// flowOption is FID/priority/client/home port/client port, the ports or all but the
// first two left out; or FID/priority/what is wrong with it.
func (s *story) flowOption(word string, id uint16) *mipv6.FlowIdentification {
	f := strings.Split(word, "/")
	o := &mipv6.FlowIdentification{ID: s.number(f[0]), Priority: s.number(f[1]), Bindings: []uint16{id}}
	switch f[2] {
	case "malformed":
		o.Malformed = []byte{2}
	case "no-selector":
	case "other-format":
		o.Others = []mipv6.FlowSubOption{{Type: mipv6.FlowTrafficSelector, Data: []byte{1, 0, 0, 0, 0, 0}}}
	case "another-bid":
		o.Bindings[0]++
		o.Selector = &mipv6.TrafficSelector{}
	case "everything":
		o.Selector = &mipv6.TrafficSelector{}
	default:
		o.Selector = &mipv6.TrafficSelector{Source: mipv6.Only(netip.MustParseAddr(f[2]))}
		if len(f) > 3 {
			o.Selector.DestinationPort, o.Selector.SourcePort = mipv6.Only(s.number(f[3])), mipv6.Only(s.number(f[4]))
		}
	}
	return o
}

func (s *story) number(word string) uint16 {
	n, err := strconv.ParseUint(word, 10, 16)
	if err != nil {
		s.t.Fatal(err)
	}
	return uint16(n)
}

// flows are the care-of addresses and flows of the contact address.
func (s *story) flows() string {
	home := netip.MustParseAddr(contact)
	var lines []string
	for f, to := range maps.All(s.core.further.Flows(home)) {
		lines = append(lines, fmt.Sprintf("%v to %v\n", dataplane.Flow{Home: home, Client: f.Client, HomePort: f.HomePort, ClientPort: f.ClientPort}, to))
	}
	slices.Sort(lines)
	return fmt.Sprintf("care-of addresses %v\n%s", s.core.further.CareOfs(home), strings.Join(lines, ""))
}

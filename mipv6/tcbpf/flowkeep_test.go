package tcbpf

import (
	"testing"

	"github.com/vanycast/vanycast/mipv6/dataplane"
)

// What becomes of what is kept of a flow, by its new route; and what the programs
// give to the keeper meanwhile.
func TestEndsOfKeeping(t *testing.T) {
	held, keep := dataplane.Route{Kind: dataplane.Held}, dataplane.Route{Kind: dataplane.Held, Keep: true}
	relay, pause := dataplane.Route{Kind: dataplane.RelayTo}, dataplane.Route{Kind: dataplane.RelayTo, Pause: true}
	returned := dataplane.Route{Kind: dataplane.RelayTo, Keep: true}
	optimised := dataplane.Route{Kind: dataplane.Optimised}
	came, syn, went := keeping{coming: true}, keeping{coming: true, undecided: true}, keeping{sent: true}
	both := keeping{coming: true, sent: true}
	for name, c := range map[string]struct {
		route dataplane.Route
		had   keeping
		ends  keepEnds
		kept  toKeeper
	}{
		"nothing, delivered":  {optimised, keeping{}, keepEnds{}, 0},
		"nothing, kept":       {keep, keeping{}, keepEnds{}, keepAll},
		"nothing, paused":     {pause, keeping{}, keepEnds{}, keepSent},
		"came, kept on":       {keep, came, keepEnds{}, keepAll},
		"came, returned":      {returned, came, keepEnds{}, keepReturned},
		"came, held":          {held, came, keepEnds{coming: keepDiscards}, 0},
		"came, delivered":     {optimised, came, keepEnds{coming: keepReleases}, keepAll},
		"came, relayed":       {relay, came, keepEnds{coming: keepReleases}, keepAll},
		"came, paused":        {pause, came, keepEnds{coming: keepReleases}, keepAll | keepSent},
		"SYN, delivered":      {optimised, syn, keepEnds{coming: keepSettles}, 0},
		"SYN, held":           {held, syn, keepEnds{coming: keepDiscards}, 0},
		"SYN, paused":         {pause, syn, keepEnds{coming: keepSettles}, keepSent},
		"sent, paused on":     {pause, went, keepEnds{}, keepSent},
		"sent, goes on":       {relay, went, keepEnds{sent: keepReleases}, keepSent},
		"sent, given back":    {returned, went, keepEnds{sent: keepReleases}, keepReturned | keepSent},
		"sent, held":          {held, went, keepEnds{sent: keepDiscards}, 0},
		"sent, held and kept": {keep, went, keepEnds{sent: keepDiscards}, keepAll},
		"sent, served here":   {optimised, went, keepEnds{sent: keepDiscards}, 0},
		"both, goes on":       {relay, both, keepEnds{keepReleases, keepReleases}, keepAll | keepSent},
	} {
		ends := endsOfKeeping(c.route, c.had)
		if kept := whatIsKept(c.route) | ends.drained(); ends != c.ends || kept != c.kept {
			t.Errorf("%s: %+v, kept %b; want %+v, %b", name, ends, kept, c.ends, c.kept)
		}
	}
}

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
	relayed, waiting := dataplane.Route{Kind: dataplane.Relayed}, dataplane.Route{Kind: dataplane.Relayed, Pause: true}
	came, syn, went := keeping{coming: true}, keeping{coming: true, undecided: true}, keeping{sent: true}
	both := keeping{coming: true, sent: true}
	for name, c := range map[string]struct {
		before, route dataplane.Route
		had           keeping
		ends          keepEnds
		kept          toKeeper
	}{
		"nothing, delivered":  {dataplane.Route{}, optimised, keeping{}, keepEnds{}, 0},
		"nothing, kept":       {dataplane.Route{}, keep, keeping{}, keepEnds{}, keepAll},
		"nothing, paused":     {dataplane.Route{}, pause, keeping{}, keepEnds{}, keepSent},
		"came, kept on":       {dataplane.Route{}, keep, came, keepEnds{}, keepAll},
		"came, returned":      {dataplane.Route{}, returned, came, keepEnds{}, keepReturned},
		"came, held":          {dataplane.Route{}, held, came, keepEnds{coming: keepDiscards}, 0},
		"came, delivered":     {dataplane.Route{}, optimised, came, keepEnds{coming: keepReleases}, keepAll},
		"came, relayed":       {dataplane.Route{}, relay, came, keepEnds{coming: keepReleases}, keepAll},
		"came, paused":        {dataplane.Route{}, pause, came, keepEnds{coming: keepReleases}, keepAll | keepSent},
		"SYN, delivered":      {dataplane.Route{}, optimised, syn, keepEnds{coming: keepSettles}, 0},
		"SYN, held":           {dataplane.Route{}, held, syn, keepEnds{coming: keepDiscards}, 0},
		"SYN, paused":         {dataplane.Route{}, pause, syn, keepEnds{coming: keepSettles}, keepSent},
		"sent, paused on":     {pause, pause, went, keepEnds{}, keepSent},
		"sent, goes on":       {pause, relay, went, keepEnds{sent: keepReleases}, keepSent},
		"sent, given back":    {pause, returned, went, keepEnds{sent: keepReleases}, keepReturned | keepSent},
		"sent, held":          {pause, held, went, keepEnds{sent: keepDiscards}, 0},
		"sent, held and kept": {pause, keep, went, keepEnds{sent: keepDiscards}, keepAll},
		"sent, served here":   {pause, optimised, went, keepEnds{sent: keepDiscards}, 0},
		"ours, waits on":      {waiting, waiting, went, keepEnds{}, keepSent},
		"ours, goes on":       {waiting, relayed, went, keepEnds{sent: keepReleases}, keepSent},
		"ours, straight":      {waiting, optimised, went, keepEnds{sent: keepReleases}, keepSent},
		"ours, held":          {waiting, held, went, keepEnds{sent: keepDiscards}, 0},
		"ours, another's":     {waiting, pause, went, keepEnds{sent: keepDiscards}, keepSent},
		"another's, ours":     {pause, waiting, went, keepEnds{sent: keepDiscards}, keepSent},
		"both, goes on":       {pause, relay, both, keepEnds{keepReleases, keepReleases}, keepAll | keepSent},
	} {
		ends := endsOfKeeping(c.before, c.route, c.had)
		if kept := whatIsKept(c.route) | ends.drained(); ends != c.ends || kept != c.kept {
			t.Errorf("%s: %+v, kept %b; want %+v, %b", name, ends, kept, c.ends, c.kept)
		}
	}
}

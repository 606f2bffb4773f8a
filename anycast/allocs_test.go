package anycast

import (
	"net/netip"
	"testing"
	"time"

	"github.com/vanycast/vanycast/mipv6/bindings"
)

// A tick that finds nothing due allocates nothing, however many clients there are.
func TestTickAllocations(t *testing.T) {
	w := newWorld(t)
	w.passive(Contact{Address: contactAddr, HomeAgent: homeAgent, ContactNodes: []netip.Addr{reich}})
	for i := range w.core.cfg.maxClients {
		p := numbered(i)
		if _, err := w.core.client(w.now, p); err != nil {
			t.Fatal(err)
		}
		if err := w.core.list.Begin(w.now, target(p), bindings.Params{CareOf: glass, Lifetime: time.Minute, Tries: updateTries}); err != nil {
			t.Fatal(err)
		}
	}
	w.core.poll(w.now) // sends them
	w.core.take()
	if allocs := testing.AllocsPerRun(1000, func() {
		w.core.poll(w.now)
		w.core.next()
	}); allocs > 0 {
		t.Errorf("%v allocations", allocs)
	}
	if out := w.core.take(); len(out) > 0 {
		t.Errorf("something was due: %v", out)
	}
}

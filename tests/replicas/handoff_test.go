package replicas

import (
	"errors"
	"strings"
	"testing"

	"github.com/vanycast/vanycast/anycast"
	"github.com/vanycast/vanycast/tests/lab"
	"github.com/vanycast/vanycast/tests/station"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A client is accepted at the contact node and handed around; each time a ping
// of its own kernel goes straight to who serves it, and tshark finds nothing
// wrong on the wire. A client without Mobile IPv6 is found out at once, and
// served through the tunnel.
func TestHandoff(t *testing.T) {
	r := newRig(t)
	glass, reich, adams := r.replica(t, r.net.Glass), r.replica(t, r.net.Reich), r.replica(t, r.net.Adams)
	modern, _ := lab.SiteOf("modern")
	legacy, _ := lab.SiteOf("legacy")
	sites := map[*anycast.Address]string{glass: "glass", reich: "reich", adams: "adams"}
	ctx := t.Context()

	capture, err := r.net.Router.Capture("modern")
	must(t, err)
	must(t, glass.Active(ctx))
	station.Ping(t, r.net.Modern)
	station.Ping(t, r.net.Legacy)
	for _, a := range []*anycast.Address{glass, adams} {
		if err := a.Probe(ctx, legacy.Addr); !errors.Is(err, anycast.ErrNoMobileIPv6) {
			t.Errorf("probe of legacy by %s: %v", sites[a], err)
		}
	}

	must(t, glass.Bind(ctx, modern.Addr))
	station.Ping(t, r.net.Modern)
	donor := glass
	for _, acceptor := range []*anycast.Address{reich, adams, glass, adams} {
		must(t, donor.Hold(modern.Addr))
		m, err := donor.Mark(modern.Addr)
		must(t, err)
		from, _ := lab.SiteOf(sites[donor])
		must(t, acceptor.Start(ctx, modern.Addr, from.Addr, m))
		donor.Finish(modern.Addr)
		station.Ping(t, r.net.Modern)
		to, _ := lab.SiteOf(sites[acceptor])
		if b := r.client.Bindings(); len(b) != 1 || b[0].CareOf != to.Addr {
			t.Errorf("after the handoff to %s the client has %v", to.Name, b)
		}
		donor = acceptor
	}

	// A handoff that did not come about: the client itself says so.
	m, err := donor.Mark(modern.Addr)
	must(t, err)
	must(t, donor.Reclaim(ctx, modern.Addr, m))
	station.Ping(t, r.net.Modern)
	m.Sequence -= 2 // as if another had been told since
	var taken *anycast.SequenceError
	if err := reich.Reclaim(ctx, modern.Addr, m); !errors.As(err, &taken) {
		t.Errorf("reclaim of what is another's: %v", err)
	}

	must(t, donor.Clear(ctx, modern.Addr))
	if b := r.client.Bindings(); len(b) != 0 {
		t.Errorf("after Clear the client has %v", b)
	}
	station.Ping(t, r.net.Modern) // the contact node answers again

	// Another replica becomes the contact node.
	must(t, reich.Active(ctx))
	reichSite, _ := lab.SiteOf("reich")
	if b := r.agent.Bindings(); len(b) != 1 || b[0].CareOf != reichSite.Addr {
		t.Errorf("registrations %v", b)
	}
	station.Ping(t, r.net.Modern)
	must(t, adams.Bind(ctx, modern.Addr)) // its home test finds the new contact node
	station.Ping(t, r.net.Modern)

	for addr, n := range r.replicas {
		if err := n.Close(ctx); err != nil {
			t.Errorf("closing %v: %v", addr, err)
		}
	}
	if b := r.agent.Bindings(); len(b) != 0 {
		t.Errorf("registrations left: %v", b)
	}
	if b := r.client.Bindings(); len(b) != 0 {
		t.Errorf("bindings left: %v", b)
	}
	for _, h := range []*lab.Host{r.net.Glass, r.net.Reich, r.net.Adams} {
		out, err := h.Output(ctx, "ip", "-6", "addr")
		must(t, err)
		if strings.Contains(out, lab.ContactAddress+"/") {
			t.Errorf("the contact address is left on %s:\n%s", h.Name(), out)
		}
	}
	must(t, capture.Stop())
	station.Judge(t, capture, map[string]int{"glass": 6, "reich": 3, "adams": 12})
}

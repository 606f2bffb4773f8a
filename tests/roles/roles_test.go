package roles

import (
	"testing"
	"time"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/tests/lab"
	"github.com/vanycast/vanycast/tests/station"
)

// A mobile node registers at our home agent, binds our correspondent, moves,
// and leaves; each time a ping of the correspondent's own kernel shows which
// way the packets go, and tshark that they are right.
func TestHomeAgentAndCorrespondent(t *testing.T) {
	net := lab.Thesis(t, lab.Wire())
	agentRole, clientRole := station.HomeAgent(t, net.HA), station.Correspondent(t, net.Modern)
	glass, reich := newNode(t, net.Glass), newNode(t, net.Reich)
	modern, _ := lab.SiteOf("modern")
	client := modern.Addr

	capture, err := net.Router.Capture("modern")
	if err != nil {
		t.Fatal(err)
	}
	glass.contactHere()
	glass.register(1)
	station.Ping(t, net.Modern) // through the home agent's tunnel
	station.Ping(t, net.Legacy)

	token := glass.homeTest(client)
	glass.bind(client, token, 100, 420*time.Second)
	glass.optimise(client)
	station.Ping(t, net.Modern) // straight
	if b := clientRole.Bindings(); len(b) != 1 || b[0].CareOf != glass.Addr || b[0].Home != station.Contact {
		t.Errorf("binding cache %v", b)
	}

	// The client is handed over: the next replica needs its own care-of test
	// only, the home agent hears nothing of it.
	reich.contactHere()
	reich.bind(client, token, 101, 420*time.Second)
	reich.optimise(client)
	station.Ping(t, net.Modern)
	if b := clientRole.Bindings(); len(b) != 1 || b[0].CareOf != reich.Addr {
		t.Errorf("binding cache %v", b)
	}
	if b := agentRole.Bindings(); len(b) != 1 || b[0].CareOf != glass.Addr {
		t.Errorf("registrations %v", b)
	}

	// The binding is deleted, and the replica does not know better: its next
	// packet draws a Binding Error.
	reich.bind(client, token, 102, 0)
	if b := clientRole.Bindings(); len(b) != 0 {
		t.Errorf("binding cache %v after the deletion", b)
	}
	if out, err := net.Reich.Output(t.Context(), "ping", "-c", "1", "-W", "1", "-I", lab.ContactAddress, client.String()); err == nil {
		t.Errorf("a Home Address option without a binding got through:\n%s", out)
	}
	be, _ := receive[*mipv6.BindingError](reich, client, reich.Addr)
	if be.Status != mipv6.UnknownBinding || be.Home != station.Contact {
		t.Errorf("Binding Error %+v", be)
	}

	if err := capture.Stop(); err != nil {
		t.Fatal(err)
	}
	station.Judge(t, capture, map[string]int{"glass": 3, "reich": 3})
}

package roles

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/correspondent"
	"github.com/vanycast/vanycast/mipv6/homeagent"
	"github.com/vanycast/vanycast/mipv6/mhsock"
	"github.com/vanycast/vanycast/tests/lab"
)

// serve runs a role until the test ends: what a daemon does.
func (s *station) serve(handle func(mhsock.Received) bool, run func(context.Context) error) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	go func() {
		for {
			r, err := s.conn.Receive(ctx)
			if err != nil {
				return
			}
			handle(r)
		}
	}()
	s.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			s.t.Errorf("the role on %s: %v", s.host.Name(), err)
		}
	})
}

// ping sends echo requests from a host and wants every one answered.
func ping(t *testing.T, from *lab.Host, args ...string) {
	t.Helper()
	if out, err := from.Output(t.Context(), "ping", append([]string{"-c", "3", "-i", "0.1", "-W", "5"}, args...)...); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// A mobile node registers at our home agent, binds our correspondent, moves,
// and leaves; each time a ping of the correspondent's own kernel shows which
// way the packets go, and tshark that they are right.
func TestHomeAgentAndCorrespondent(t *testing.T) {
	net := lab.Thesis(t, lab.Wire())
	ha, modern, glass, reich := newStation(t, net.HA), newStation(t, net.Modern), newStation(t, net.Glass), newStation(t, net.Reich)
	client := modern.addr

	var agentRole *homeagent.Role
	if err := net.HA.Do(func() (err error) {
		agentRole, err = homeagent.New(homeagent.Config{Address: agent, Prefix: netip.MustParsePrefix(lab.HomePrefix), Interface: "eth0"},
			homeagent.Deps{Plane: ha.plane, MH: ha.conn})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	ha.serve(agentRole.HandleMH, agentRole.Run)
	clientRole, err := correspondent.New(correspondent.Config{}, correspondent.Deps{Plane: modern.plane, MH: modern.conn})
	if err != nil {
		t.Fatal(err)
	}
	modern.serve(clientRole.HandleMH, clientRole.Run)

	capture, err := net.Router.Capture("modern")
	if err != nil {
		t.Fatal(err)
	}
	glass.contactHere()
	glass.register(1)
	ping(t, net.Modern, lab.ContactAddress) // through the home agent's tunnel
	ping(t, net.Legacy, lab.ContactAddress)

	token := glass.homeTest(client)
	glass.bind(client, token, 100, 420*time.Second)
	glass.optimise(client)
	ping(t, net.Modern, lab.ContactAddress) // straight
	if b := clientRole.Bindings(); len(b) != 1 || b[0].CareOf != glass.addr || b[0].Home != contact {
		t.Errorf("binding cache %v", b)
	}

	// The client is handed over: the next replica needs its own care-of test
	// only, the home agent hears nothing of it.
	reich.contactHere()
	reich.bind(client, token, 101, 420*time.Second)
	reich.optimise(client)
	ping(t, net.Modern, lab.ContactAddress)
	if b := clientRole.Bindings(); len(b) != 1 || b[0].CareOf != reich.addr {
		t.Errorf("binding cache %v", b)
	}
	if b := agentRole.Bindings(); len(b) != 1 || b[0].CareOf != glass.addr {
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
	be, _ := receive[*mipv6.BindingError](reich, client, reich.addr)
	if be.Status != mipv6.UnknownBinding || be.Home != contact {
		t.Errorf("Binding Error %+v", be)
	}

	if err := capture.Stop(); err != nil {
		t.Fatal(err)
	}
	judge(t, capture, glass.addr, reich.addr)
}

func judge(t *testing.T, capture *lab.Capture, replicas ...netip.Addr) {
	t.Helper()
	for _, r := range replicas {
		for _, filter := range []string{
			fmt.Sprintf("icmpv6.type == 128 && ipv6.routing.type == 2 && ipv6.dst == %v && ipv6.routing.mipv6.home_address == %s", r, lab.ContactAddress),
			fmt.Sprintf("icmpv6.type == 129 && ipv6.opt.mipv6.home_address == %s && ipv6.src == %v", lab.ContactAddress, r),
		} {
			n, err := capture.Count(t.Context(), filter)
			if err != nil {
				t.Fatal(err)
			}
			if n != 3 {
				frames, ferr := capture.Frames(t.Context(), "")
				t.Errorf("%d frames match %s, want 3 (%v)\n%s", n, filter, ferr, strings.Join(frames, "\n"))
			}
		}
	}
	problems, err := capture.Problems(t.Context())
	if err != nil || len(problems) > 0 {
		t.Errorf("in the capture: %v, %v", problems, err)
	}
}

package tests

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"testing"
	"time"

	"github.com/vanycast/vanycast/api/wire"
	"github.com/vanycast/vanycast/tests/cluster"
	"github.com/vanycast/vanycast/tests/lab"
)

// One daemon serves several contact addresses, each with its own lifetimes, and
// several services behind one of them. A client's connections with one address
// keep together; those with another go their own way.
func TestSeveralServices(t *testing.T) {
	t.Parallel()
	ctx := testContext(t, 120*time.Second)
	other := netip.MustParseAddr("2001:db8:9::2")
	services := []cluster.Service{
		{Name: "echo", Contact: contactAt(4000), NeverSelf: true},
		{Name: "chat", Contact: contactAt(4001), NeverSelf: true},
		{Name: "far", Contact: netip.AddrPortFrom(other, 4000), NeverSelf: true, ContactNodes: []string{"adams"},
			Extra: []string{`home_lifetime = "400s"`, `binding_lifetime = "100s"`}},
	}
	s := bringUp(ctx, t, cluster.WithServices(services...))
	for _, service := range services {
		for _, name := range lab.Replicas() {
			_, err := s.StartServer(name, "echo", "-n", name, "-w", "4", "-d", "--service", service.Name)
			must(t, err)
		}
		must(t, s.WaitServing(ctx, s.daemons, service.Name))
	}
	judge := s.capture(ctx, t, "modern", "glass", "reich", "adams", "home")
	sessions := map[string]*cluster.Telnet{}
	for _, service := range services {
		session, err := cluster.DialTelnetTo(ctx, s.Modern, service.Contact, io.Discard)
		must(t, err)
		defer session.Close()
		must(t, session.Greeted(ctx))
		sessions[service.Name] = session
	}
	for _, name := range []string{"echo", "chat"} {
		must(t, sessions[name].Say(ctx, "Hand me over")) // each by itself
	}
	must(t, sessions["far"].Say(ctx, "HaHo"))
	must(t, sessions["chat"].Quit(ctx))
	must(t, lab.WaitFor(ctx, func() error { return s.gone(ctx, "chat") }))
	must(t, sessions["echo"].Say(ctx, "HeHi"))
	must(t, sessions["far"].Say(ctx, "Hu"))

	s.lifetime(ctx, t, "ha", netip.MustParseAddr(lab.ContactAddress), 400*time.Second, 600*time.Second)
	s.lifetime(ctx, t, "ha", other, 200*time.Second, 400*time.Second)
	s.lifetime(ctx, t, "modern", netip.MustParseAddr(lab.ContactAddress), 100*time.Second, 420*time.Second)
	s.lifetime(ctx, t, "modern", other, 0, 100*time.Second)
	for _, name := range []string{"echo", "far"} {
		must(t, sessions[name].Quit(ctx))
	}
	judge()
}

// gone says which replica still has a client of a service.
func (s *site) gone(ctx context.Context, service string) error {
	for _, name := range lab.Replicas() {
		clients, err := s.daemons[name].Clients(ctx)
		if err != nil {
			return err
		}
		for _, c := range clients {
			if c.Service == service {
				return fmt.Errorf("%s has %v in state %s", name, c.Remote, c.State)
			}
		}
	}
	return nil
}

// lifetime checks how long a host's binding for a home address is still good.
func (s *site) lifetime(ctx context.Context, t *testing.T, host string, home netip.Addr, least, most time.Duration) {
	t.Helper()
	var bindings []wire.Binding
	must(t, s.daemons[host].Get(ctx, wire.PathBindings, &bindings))
	for _, b := range bindings {
		if b.Home != home {
			continue
		}
		if left := time.Until(b.Expires); left < least || left > most {
			t.Errorf("%s's binding for %v ends in %v, want %v to %v", host, home, left, least, most)
		}
		return
	}
	t.Errorf("%s has no binding for %v: %+v", host, home, bindings)
}

// A client may take the port of a connection that is over, also where an earlier
// owner of that is still on its guard for late segments.
func TestClientUsesItsPortAgain(t *testing.T) {
	t.Parallel()
	ctx := testContext(t, 120*time.Second)
	s := bringUp(ctx, t)
	s.echoAt(ctx, t, "glass", "reich", "adams")
	judge := s.capture(ctx, t, "modern", "glass", "reich", "adams")
	// Two ports in turn, so that the binding is elsewhere than the connection was.
	for i := range 6 {
		c, err := s.dialFrom(ctx, s.Modern, uint16(50001+i%2))
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		must(t, c.SetDeadline(time.Now().Add(cluster.AnswerTime)))
		// The server closes first, so the client's host keeps no TIME_WAIT.
		_, err = io.WriteString(c, "HaHoHe\r\nQ\r\n")
		must(t, err)
		_, err = io.Copy(io.Discard, c)
		must(t, err)
		must(t, c.Close())
	}
	judge()
}

package roles

import (
	"net/netip"
	"testing"
	"time"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/mipv6/mhsock"
	"github.com/vanycast/vanycast/mipv6/rr"
	"github.com/vanycast/vanycast/mipv6/tcbpf"
	"github.com/vanycast/vanycast/tests/lab"
)

var (
	contact = netip.MustParseAddr(lab.ContactAddress)
	agent   = netip.MustParseAddr(lab.HomeAgent)
)

// station is a host with a data plane and the socket for Mobility Headers.
type station struct {
	t     *testing.T
	host  *lab.Host
	addr  netip.Addr
	plane *tcbpf.Plane
	conn  *mhsock.Socket
}

func newStation(t *testing.T, h *lab.Host) *station {
	t.Helper()
	site, ok := lab.SiteOf(h.Name())
	if !ok {
		t.Fatalf("no site %q", h.Name())
	}
	s := &station{t: t, host: h, addr: site.Addr}
	if err := h.Do(func() (err error) {
		if s.plane, err = tcbpf.New(tcbpf.Config{Interface: "eth0"}); err != nil {
			return err
		}
		s.conn, err = mhsock.Open(nil)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, err := range []error{s.conn.Close(), s.plane.Close()} {
			if err != nil {
				t.Errorf("closing on %s: %v", h.Name(), err)
			}
		}
	})
	return s
}

// send sends a message of the mobile node, as it is away from home: with a Home
// Address option if it is a Binding Update, else bare from src.
func (s *station) send(src, dst netip.Addr, m mipv6.Message, mac func([]byte) mipv6.Authenticator) {
	s.t.Helper()
	p := &mipv6.Packet{Src: src, Dst: dst}
	if m.Type() == mipv6.TypeBindingUpdate {
		p.HomeAddress = contact
	}
	if err := p.Carry(m, mac); err != nil {
		s.t.Fatal(err)
	}
	if err := s.conn.Send(p); err != nil {
		s.t.Fatal(err)
	}
}

// receive is the next message from a peer to one of the mobile node's
// addresses.
func receive[M mipv6.Message](s *station, from, to netip.Addr) (M, []byte) {
	s.t.Helper()
	for {
		r, err := s.conn.Receive(s.t.Context())
		if err != nil {
			s.t.Fatalf("%s waits for %T: %v", s.host.Name(), *new(M), err)
		}
		m, err := mipv6.Parse(r.Message)
		if err != nil {
			s.t.Fatal(err)
		}
		if got, ok := m.(M); ok && r.Src == from && r.Dst == to {
			return got, r.Message
		}
		s.t.Logf("%s: %v from %v to %v passed over", s.host.Name(), m.Type(), r.Src, r.Dst)
	}
}

// register makes the station the one that the home agent tunnels to.
func (s *station) register(seq uint16) {
	s.t.Helper()
	s.send(s.addr, agent, &mipv6.BindingUpdate{Sequence: seq, Acknowledge: true, HomeRegistration: true, Lifetime: 600 * time.Second,
		Options: []mipv6.Option{&mipv6.AlternateCareOf{Addr: s.addr}}}, nil)
	ack, _ := receive[*mipv6.BindingAcknowledgement](s, agent, contact)
	if ack.Status != mipv6.StatusAccepted || ack.Sequence != seq {
		s.t.Fatalf("home agent answers %+v", ack)
	}
}

// contactHere declares the contact address on the station.
func (s *station) contactHere() {
	s.t.Helper()
	if err := s.plane.SetContact(dataplane.Contact{Home: contact, CareOf: s.addr, HomeAgent: agent}); err != nil {
		s.t.Fatal(err)
	}
}

// homeTest is the home half of return routability: only through the home agent.
func (s *station) homeTest(peer netip.Addr) rr.HomeToken {
	s.t.Helper()
	cookie := mipv6.Cookie{'h', 'o', 'm', 'e'}
	s.send(contact, peer, &mipv6.HomeTestInit{Cookie: cookie}, nil)
	m, _ := receive[*mipv6.HomeTest](s, peer, contact)
	if m.Cookie != cookie {
		s.t.Fatalf("cookie %x", m.Cookie)
	}
	return rr.HomeToken{Token: m.Token, NonceIndex: m.NonceIndex, Received: time.Now()}
}

// bind binds the peer to this station, or with lifetime zero deletes the
// binding.
func (s *station) bind(peer netip.Addr, home rr.HomeToken, seq uint16, lifetime time.Duration) {
	s.t.Helper()
	s.send(s.addr, peer, &mipv6.CareOfTestInit{Cookie: mipv6.Cookie{'c'}}, nil)
	m, _ := receive[*mipv6.CareOfTest](s, peer, s.addr)
	keys := rr.Keys{Home: home, CareOf: rr.CareOfToken{Token: m.Token, NonceIndex: m.NonceIndex, Received: time.Now()}}
	key, covered := keys.Kbm(), s.addr
	if lifetime == 0 {
		key, covered = keys.KbmDelete(), contact
	}
	s.send(s.addr, peer, &mipv6.BindingUpdate{Sequence: seq, Acknowledge: true, Lifetime: lifetime, Options: []mipv6.Option{keys.NonceIndices()}},
		func(d []byte) mipv6.Authenticator { return rr.Authenticate(key, covered, peer, d) })
	ack, raw := receive[*mipv6.BindingAcknowledgement](s, peer, contact)
	data, a, err := mipv6.AuthenticatorInput(raw)
	if err != nil || !rr.Authentic(a, key, covered, peer, data) {
		s.t.Fatalf("acknowledgement %+v is not authentic: %v", ack, err)
	}
	if ack.Status != mipv6.StatusAccepted || ack.Sequence != seq {
		s.t.Fatalf("%v answers %+v", peer, ack)
	}
}

func (s *station) optimise(peer netip.Addr) {
	s.t.Helper()
	if err := s.plane.SetRoute(dataplane.Flow{Home: contact, Client: peer}, dataplane.Route{Kind: dataplane.Optimised}); err != nil {
		s.t.Fatal(err)
	}
}

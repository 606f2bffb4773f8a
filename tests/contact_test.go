package tests

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"github.com/vanycast/vanycast/tests/cluster"
	"github.com/vanycast/vanycast/tests/lab"
	"github.com/vanycast/vanycast/tests/stream"
)

// A paced transfer goes slowly enough for things to happen in the middle of it.
const (
	pacedSize  = 90_000_000 // bytes in each direction
	pacedChunk = 50_000     // bytes at a time
	pacedPause = 20 * time.Millisecond
	pacedEvery = 3_000_000 // bytes between handoffs
)

// paced is a transfer in both directions at once.
type paced struct {
	conn *net.TCPConn
	gone int64 // bytes received, when it failed
	done chan struct{}
	err  error // after done
	hops int   // after done
}

// startPaced begins a transfer from a host; it ends by itself.
func startPaced(ctx context.Context, t *testing.T, h *lab.Host, to netip.AddrPort, size int) *paced {
	t.Helper()
	conn, err := dial(ctx, h, to)
	must(t, err)
	p := &paced{conn: conn, done: make(chan struct{})}
	t.Cleanup(func() { _ = conn.Close(); <-p.done })
	go func() {
		defer close(p.done)
		sent := make(chan error, 1)
		go func() { sent <- p.send(size) }()
		err := p.receive(size)
		if err != nil {
			_ = conn.Close()
		}
		p.err = errors.Join(err, <-sent)
	}()
	return p
}

// running fails the test if the transfer is over.
func (p *paced) running(t *testing.T) {
	t.Helper()
	select {
	case <-p.done:
		t.Fatalf("the transfer is over already: %v", p.err)
	default:
	}
}

func (p *paced) send(size int) error {
	source := stream.New(upSeed, 0)
	b := make([]byte, pacedChunk)
	for left := size; left > 0; {
		part := b[:min(len(b), left)]
		_, _ = source.Read(part) // cannot fail
		if err := p.conn.SetWriteDeadline(time.Now().Add(stall)); err != nil {
			return err
		}
		n, err := p.conn.Write(part)
		if err != nil {
			return fmt.Errorf("sending, %d bytes before the end: %w", left-n, err)
		}
		left -= n
		time.Sleep(pacedPause) // the pace
	}
	return p.conn.CloseWrite()
}

func (p *paced) receive(size int) error {
	h := sha256.New()
	b := make([]byte, pacedChunk)
	for left := size; left > 0; {
		if err := p.conn.SetReadDeadline(time.Now().Add(stall)); err != nil {
			return err
		}
		n, err := p.conn.Read(b[:min(len(b), left)])
		h.Write(b[:n])
		left -= n
		if err != nil {
			return fmt.Errorf("receiving, %d bytes before the end: %w", left, err)
		}
	}
	if got, want := [sha256.Size]byte(h.Sum(nil)), stream.Sum(dnSeed, int64(size)); got != want {
		return fmt.Errorf("SHA-256 of what was received: %x, want %x", got, want)
	}
	// The client's own direction is slower.
	farewell, err := io.ReadAll(readerWithDeadline{p.conn})
	if err == nil && len(farewell) != sha256.Size+8 {
		err = fmt.Errorf("%d bytes are not a hash and a number", len(farewell))
	}
	if err != nil {
		return fmt.Errorf("the server's farewell: %w", err)
	}
	if got, want := [sha256.Size]byte(farewell), stream.Sum(upSeed, int64(size)); got != want {
		return fmt.Errorf("SHA-256 of what the servers received: %x, want %x", got, want)
	}
	p.hops = int(binary.BigEndian.Uint64(farewell[sha256.Size:])) - 1
	return nil
}

// readerWithDeadline waits at most so long for each read.
type readerWithDeadline struct{ conn *net.TCPConn }

func (r readerWithDeadline) Read(b []byte) (int, error) {
	if err := r.conn.SetReadDeadline(time.Now().Add(2 * stall)); err != nil {
		return 0, err
	}
	return r.conn.Read(b)
}

// finished waits for the end of a transfer.
func (p *paced) finished(ctx context.Context, t *testing.T, what string) {
	t.Helper()
	select {
	case <-p.done:
	case <-ctx.Done():
		t.Fatalf("%s: %v", what, context.Cause(ctx))
	}
	if p.err != nil {
		t.Fatalf("%s: %v", what, p.err)
	}
	t.Logf("%s: %d handoffs", what, p.hops)
}

// returnSoon has a contact node that is back take over in the time that a test has.
const returnSoon = `contact_return = "4s"`

// streaming is an installation whose clients are served by reich and adams and handed
// to and fro between them; glass is contact node.
func streaming(ctx context.Context, t *testing.T) (*site, cluster.Service) {
	t.Helper()
	service := cluster.Service{
		Name: "stream", NeverSelf: true, Contact: netip.AddrPortFrom(netip.MustParseAddr(lab.ContactAddress), 4000),
		ContactNodes: []string{"glass", "reich", "adams"}, Extra: []string{returnSoon},
	}
	s := bringUp(ctx, t, cluster.WithServices(service))
	for _, name := range []string{"reich", "adams"} {
		_, err := s.StartServer(name, "stream", "-seed", strconv.Itoa(dnSeed),
			"-size", strconv.Itoa(pacedSize), "-every", strconv.Itoa(pacedEvery))
		must(t, err)
	}
	must(t, s.WaitServing(ctx, s.daemons, "stream", "reich", "adams"))
	must(t, s.contactNode(ctx, "glass"))
	return s, service
}

// The contact node is killed while clients are served by other replicas and handed
// to and fro: the next contact node takes over, transfers and handoffs go on,
// new clients are served. Then it comes back, and in a while it is contact node
// again; nobody notices.
func TestContactNodeKilled(t *testing.T) {
	t.Parallel()
	for _, client := range []string{"modern", "legacy"} {
		t.Run(client, func(t *testing.T) {
			ctx := testContext(t, 4*time.Minute)
			s, service := streaming(ctx, t)
			judge := s.capture(ctx, t, client)
			first := startPaced(ctx, t, s.Lookup(client), service.Contact, pacedSize)
			must(t, s.handoffs(ctx, 3))

			must(t, s.daemons["glass"].Kill9())
			delete(s.daemons, "glass")
			must(t, s.contactNode(ctx, "reich"))
			first.running(t)
			before := s.count(ctx, t)
			must(t, s.handoffs(ctx, before+3))
			if client == "legacy" { // modern's connections stay together
				startPaced(ctx, t, s.Legacy, service.Contact, pacedSize).running(t)
			}

			var err error
			s.daemons["glass"], err = s.Start(ctx, "glass")
			must(t, err)
			must(t, s.contactNode(ctx, "glass"))
			first.running(t)
			before = s.count(ctx, t)
			must(t, s.handoffs(ctx, before+3))
			first.finished(ctx, t, client)
			judge()
		})
	}
}

// The contact node is told to end: it hands its role over first, so not even a new
// client has to try again.
func TestContactNodeLeaves(t *testing.T) {
	ctx := testContext(t, 3*time.Minute)
	service := cluster.Echo()
	service.ContactNodes, service.Extra = []string{"glass", "reich"}, []string{returnSoon}
	s := bringUp(ctx, t, cluster.WithServices(service))
	s.echoAt(ctx, t, "reich", "adams")
	must(t, s.contactNode(ctx, "glass"))
	judge := s.capture(ctx, t, "legacy", "modern")
	resent := s.resent(ctx, t, "legacy")
	away, bound := s.telnetFrom(ctx, t, s.Legacy), s.telnet(ctx, t)
	stopped := make(chan error, 1)
	go func() { stopped <- s.daemons["glass"].Stop() }()
	for over := false; !over; {
		must(t, away.Say(ctx, "still here"))
		must(t, s.telnetFrom(ctx, t, s.Legacy).Quit(ctx))
		select {
		case err := <-stopped:
			must(t, err)
			over = true
		default:
		}
	}
	delete(s.daemons, "glass")
	must(t, s.contactNode(ctx, "reich"))
	for range 3 {
		must(t, away.Say(ctx, "and nowH"))
		must(t, bound.Say(ctx, "and nowH"))
	}
	must(t, away.Quit(ctx))
	must(t, bound.Quit(ctx))
	resent()
	judge()
}

// count is the number of handoffs that the replicas have accepted.
func (s *site) count(ctx context.Context, t *testing.T) int {
	t.Helper()
	n, err := s.accepted(ctx)
	must(t, err)
	return n
}

func (s *site) accepted(ctx context.Context) (n int, err error) {
	for name, d := range s.daemons {
		if name == "ha" || name == "modern" {
			continue
		}
		records, err := d.Handoffs(ctx)
		if err != nil {
			return 0, err
		}
		for _, r := range records {
			if r.Role == "acceptor" && r.Error == "" {
				n++
			}
		}
	}
	return n, nil
}

// handoffs waits until there were so many.
func (s *site) handoffs(ctx context.Context, want int) error {
	return lab.WaitFor(ctx, func() error {
		n, err := s.accepted(ctx)
		if err == nil && n < want {
			err = fmt.Errorf("%d handoffs, want %d", n, want)
		}
		return err
	})
}

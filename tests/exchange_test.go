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

const upSeed, dnSeed = 1, 2

// exchange is one connection: a stream in each direction at once, handed over in the
// middle of it again and again.
type exchange struct {
	client string // the host
	size   int    // bytes in each direction
	moves  int    // handoffs at least
	pace   stream.Pace
	oneWay bool // the client sends, and hears nothing before the end
}

// down is how many bytes the servers send.
func (e exchange) down() int {
	if e.oneWay {
		return 0
	}
	return e.size
}

// streams is the service of the stream servers.
func streams(extra ...string) cluster.Service {
	return cluster.Service{
		Name: "stream", NeverSelf: true, Contact: netip.AddrPortFrom(netip.MustParseAddr(lab.ContactAddress), 4000), Extra: extra,
	}
}

// serve starts the servers, at every replica.
func (e exchange) serve(ctx context.Context, t *testing.T, s *site) {
	t.Helper()
	args := []string{"-seed", strconv.Itoa(dnSeed), "-size", strconv.Itoa(e.down())}
	if e.moves > 0 {
		// The last one need not be reached: the client's end comes first.
		args = append(args, "-every", strconv.Itoa(e.size/(e.moves+2)))
	}
	if e.pace == stream.Steady {
		args = append(args, "-steady")
	}
	for _, name := range lab.Replicas() {
		_, err := s.StartServer(name, "stream", args...)
		must(t, err)
	}
	must(t, s.WaitServing(ctx, s.daemons, "stream"))
}

// run is the client. Every byte arrives once and in order, both ways, and the replicas'
// own records tell of all handoffs. It returns how many those were.
func (e exchange) run(ctx context.Context, t *testing.T, s *site) (moves int) {
	t.Helper()
	conn, err := dial(ctx, s.Lookup(e.client), streams().Contact)
	must(t, err)
	defer conn.Close()
	sent := make(chan error, 1)
	go func() { sent <- upload(conn, e.size, e.pace) }()
	if e.oneWay {
		sent <- <-sent // longer than download waits for what it hears
	}
	got, seen, err := download(conn, e.down())
	if e := <-sent; e != nil {
		t.Error(e)
	}
	must(t, err)
	if want := stream.Sum(dnSeed, int64(e.down())); got.down != want {
		t.Errorf("SHA-256 of what the client received: %x, want %x", got.down, want)
	}
	if want := stream.Sum(upSeed, int64(e.size)); got.up != want {
		t.Errorf("SHA-256 of what the servers received: %x, want %x", got.up, want)
	}
	moves = s.donated(ctx, t, seen)
	if moves < e.moves {
		t.Errorf("%d handoffs, want at least %d", moves, e.moves)
	}
	return moves
}

// donated is how many handoffs the donors have records of; it waits until these, and
// the acceptors', are at least as many as the servers saw.
func (s *site) donated(ctx context.Context, t *testing.T, least int) (n int) {
	t.Helper()
	must(t, lab.WaitFor(ctx, func() error {
		byRole := map[string]int{}
		for _, name := range lab.Replicas() {
			records, err := s.daemons[name].Handoffs(ctx)
			if err != nil {
				return err
			}
			for _, r := range records {
				if r.Error == "" {
					byRole[r.Role]++
				}
			}
		}
		n = byRole["donor"]
		if min(n, byRole["acceptor"]) < least {
			return fmt.Errorf("records of %v, the servers saw %d handoffs", byRole, least)
		}
		return nil
	}))
	return n
}

// sums are the hashes of the two directions.
type sums struct{ up, down [sha256.Size]byte }

func dial(ctx context.Context, h *lab.Host, to netip.AddrPort) (conn *net.TCPConn, err error) {
	d := net.Dialer{Timeout: 20 * time.Second}
	err = h.Do(func() error {
		c, err := d.DialContext(ctx, "tcp", to.String())
		if err == nil {
			conn = c.(*net.TCPConn)
		}
		return err
	})
	return conn, err
}

// stall is how long a transfer may stand still.
const stall = 60 * time.Second

func upload(conn *net.TCPConn, size int, pace stream.Pace) error {
	source := stream.New(upSeed, 0)
	b := make([]byte, pace.Chunk)
	for left := size; left > 0; pace.Wait(int64(size - left)) {
		part := b[:min(len(b), left)]
		_, _ = source.Read(part) // cannot fail
		if err := conn.SetWriteDeadline(time.Now().Add(stall)); err != nil {
			return err
		}
		n, err := conn.Write(part)
		if err != nil {
			return fmt.Errorf("sending, %d bytes before the end: %w", left-n, err)
		}
		left -= n
	}
	return conn.CloseWrite()
}

// download hashes the stream and reads what the last server says after it.
func download(conn *net.TCPConn, size int) (got sums, moves int, err error) {
	h := sha256.New()
	b := make([]byte, 64<<10)
	for left := size; left > 0; {
		if err := conn.SetReadDeadline(time.Now().Add(stall)); err != nil {
			return got, 0, err
		}
		n, err := conn.Read(b[:min(len(b), left)])
		h.Write(b[:n])
		left -= n
		if err != nil {
			return got, 0, fmt.Errorf("receiving, %d bytes before the end: %w", left, err)
		}
	}
	got.down = [sha256.Size]byte(h.Sum(nil))
	if err := conn.SetReadDeadline(time.Now().Add(stall)); err != nil {
		return got, 0, err
	}
	farewell, err := io.ReadAll(conn)
	if err == nil && len(farewell) != sha256.Size+8 {
		err = errors.New("not a hash and a number")
	}
	if err != nil {
		return got, 0, fmt.Errorf("the server's farewell of %d bytes: %w", len(farewell), err)
	}
	got.up = [sha256.Size]byte(farewell)
	// The first server was no handoff.
	return got, int(binary.BigEndian.Uint64(farewell[sha256.Size:])) - 1, nil
}

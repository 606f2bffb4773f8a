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

const (
	transferSize   = 200_000_000 // bytes in each direction
	transferMoves  = 100         // handoffs at least
	upSeed, dnSeed = 1, 2
)

// Two hundred megabytes in each direction at once, more than a hundred
// handoffs in the middle of them: every byte arrives once and in order, and
// no link sees a reset, a malformed packet or a bad checksum. The same for a
// client without Mobile IPv6.
func TestTransferThroughHandoffs(t *testing.T) {
	for _, client := range []string{"modern", "legacy"} {
		t.Run(client, func(t *testing.T) { transferThroughHandoffs(t, client) })
	}
}

func transferThroughHandoffs(t *testing.T, client string) {
	ctx := testContext(t, 8*time.Minute)
	service := cluster.Service{Name: "stream", NeverSelf: true, Contact: netip.AddrPortFrom(netip.MustParseAddr(lab.ContactAddress), 4000)}
	s := bringUp(ctx, t, cluster.WithServices(service))
	for _, name := range lab.Replicas() {
		_, err := s.StartServer(name, "stream", "-seed", strconv.Itoa(dnSeed),
			"-size", strconv.Itoa(transferSize), "-every", strconv.Itoa(transferSize/(transferMoves+10)))
		must(t, err)
	}
	must(t, s.WaitServing(ctx, s.daemons, "stream"))

	judge := s.capture(ctx, t, client)
	resets := watchResets(t, s)
	conn, err := dial(ctx, s.Lookup(client), service.Contact)
	must(t, err)
	defer conn.Close()
	sent := make(chan error, 1)
	go func() { sent <- upload(conn, transferSize, stream.Bulk) }()
	got, moves, err := download(conn, transferSize)
	if e := <-sent; e != nil {
		t.Error(e)
	}
	must(t, err)
	if want := stream.Sum(dnSeed, transferSize); got.down != want {
		t.Errorf("SHA-256 of what the client received: %x, want %x", got.down, want)
	}
	if want := stream.Sum(upSeed, transferSize); got.up != want {
		t.Errorf("SHA-256 of what the servers received: %x, want %x", got.up, want)
	}
	if moves < transferMoves {
		t.Errorf("%d handoffs, want at least %d", moves, transferMoves)
	}
	t.Logf("%d handoffs", moves)
	resets(ctx)
	judge()
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
	for left := size; left > 0; pace.Wait() {
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

// watchResets captures the heads of all packets on the replicas' links; the
// returned function fails the test for every reset among them. (Judging the
// client's link for everything is enough for the rest: all that the replicas
// send to the client passes there.)
func watchResets(t *testing.T, s *site) func(context.Context) {
	t.Helper()
	const heads = 200 // link, IPv6 twice, extension headers, TCP with options
	captures := map[string]*lab.Capture{}
	for _, name := range lab.Replicas() {
		c, err := s.Router.Capture(name, lab.Snaplen(heads))
		must(t, err)
		captures[name] = c
	}
	return func(ctx context.Context) {
		t.Helper()
		for name, c := range captures {
			if err := c.Stop(); err != nil {
				t.Error(err)
				continue
			}
			resets, err := c.Frames(ctx, lab.FilterReset)
			if err != nil {
				t.Error(err)
			}
			for _, r := range resets {
				t.Errorf("on the link of %s: %s", name, r)
			}
		}
	}
}

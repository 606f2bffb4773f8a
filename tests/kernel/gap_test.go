package kernel

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/vanycast/vanycast/tests/cluster"
	"github.com/vanycast/vanycast/tests/lab"
	"github.com/vanycast/vanycast/tests/stream"
)

// The network of TestGaps: 20 ms to a replica and back from another, 40 ms to a
// client and back.
const (
	replicaDelay = 10 * time.Millisecond // of the router's link to a replica, that way
	clientDelay  = 30 * time.Millisecond // of its link to a client
)

const (
	gapSize  = 6_000_000 // bytes in each direction
	gapEvery = 750_000   // between two handoffs
	upSeed   = 1
	downSeed = 2
)

// gaps is what a client felt of handoffs in one mode: the longest silence of
// each, in milliseconds. Down: between bytes that it did not have before; up:
// between acknowledgements of bytes that were not acknowledged before.
type gaps struct {
	Client   string    `json:"client"`
	Mode     string    `json:"mode"`
	Handoffs int       `json:"handoffs"`
	Down     []float64 `json:"down_ms"`
	Up       []float64 `json:"up_ms"`
}

// A stream of a kilobyte each millisecond both ways, and handoffs in the middle of
// it: how long is the client without news? The bytes must be right; the times
// are written down (gaps.json in the laboratory's folder), for docs/benchmarks.md.
func TestGaps(t *testing.T) {
	needKernel(t)
	var all []gaps
	for _, client := range []string{"modern", "legacy"} {
		for _, mode := range []string{"basic", "prepared", "seamless"} {
			t.Run(client+" "+mode, func(t *testing.T) { all = append(all, feel(t, client, mode)) })
		}
	}
	b, err := json.MarshalIndent(all, "", "  ")
	must(t, err)
	t.Logf("%s", b)
	if dir := os.Getenv("VANYCAST_LAB_DIR"); dir != "" {
		must(t, os.WriteFile(filepath.Join(dir, "gaps.json"), append(b, '\n'), 0o644))
	}
}

func feel(t *testing.T, client, mode string) gaps {
	ctx := testContext(t)
	n := lab.Thesis(t, lab.Wire())
	service := cluster.Service{
		Name: "stream", Contact: netip.AddrPortFrom(netip.MustParseAddr(lab.ContactAddress), 4000), NeverSelf: true,
		Extra: []string{fmt.Sprintf("mode = %q", mode)},
	}
	c, err := cluster.New(ctx, t, n, binaries, cluster.WithServices(service), plane("bpf"))
	must(t, err)
	daemons, err := c.StartAll(ctx)
	must(t, err)
	for _, name := range lab.Replicas() {
		_, err := c.StartServer(name, "stream", "-steady", "-seed", strconv.Itoa(downSeed), "-size", strconv.Itoa(gapSize), "-every", strconv.Itoa(gapEvery))
		must(t, err)
	}
	must(t, c.WaitServing(ctx, daemons, "stream"))
	for _, port := range append(lab.Replicas(), "home") {
		n.Router.Impair(port, replicaDelay, 0)
	}
	for _, port := range []string{"modern", "legacy"} {
		n.Router.Impair(port, clientDelay, 0)
	}
	const heads = 200
	capture, err := n.Router.Capture(client, lab.Snaplen(heads))
	must(t, err)
	must(t, exchange(ctx, n.Lookup(client), service.Contact))
	must(t, capture.Stop())

	var began []time.Time
	for _, name := range lab.Replicas() {
		records, err := daemons[name].Handoffs(ctx)
		must(t, err)
		for _, r := range records {
			// That at the beginning distributes the client, before there is a stream.
			if r.Role == "donor" && r.Error == "" && r.Bytes > 0 && r.Mode == mode {
				began = append(began, r.Started)
			}
		}
	}
	slices.SortFunc(began, time.Time.Compare)
	if len(began) < 3 {
		t.Fatalf("%d handoffs in mode %s, want some", len(began), mode)
	}
	g := gaps{Client: client, Mode: mode, Handoffs: len(began) - 1}
	g.Down, g.Up = silences(ctx, t, capture, began[1:])
	return g
}

// silences are the longest of each handoff, both ways.
func silences(ctx context.Context, t *testing.T, c *lab.Capture, began []time.Time) (down, up []float64) {
	t.Helper()
	rows, err := c.Fields(ctx, "tcp.srcport == 4000", "frame.time_epoch", "tcp.seq_raw", "tcp.len", "tcp.ack_raw")
	must(t, err)
	var data, acks progress
	for _, row := range rows {
		at, err := strconv.ParseFloat(row[0], 64)
		must(t, err)
		var fields [3]uint64
		for i := range fields {
			fields[i], err = strconv.ParseUint(row[i+1], 10, 32)
			must(t, err)
		}
		when := time.UnixMicro(int64(at * 1e6))
		data.reached(when, uint32(fields[0]+fields[1]))
		acks.reached(when, uint32(fields[2]))
	}
	for i, from := range began {
		// A handoff's consequences are over before the next, and before the end.
		to := from.Add(2 * time.Second)
		if i+1 < len(began) {
			to = began[i+1]
		}
		down = append(down, data.silence(from, to))
		up = append(up, acks.silence(from, to))
	}
	return down, up
}

// progress is when a sequence number grew.
type progress struct {
	last  uint32
	known bool
	times []time.Time
}

func (p *progress) reached(at time.Time, seq uint32) {
	if p.known && int32(seq-p.last) <= 0 {
		return
	}
	p.last, p.known = seq, true
	p.times = append(p.times, at)
}

// silence is the longest in milliseconds that ended in the interval.
func (p *progress) silence(from, to time.Time) float64 {
	var longest time.Duration
	for i := 1; i < len(p.times); i++ {
		if end := p.times[i]; end.After(from) && !end.After(to) {
			longest = max(longest, end.Sub(p.times[i-1]))
		}
	}
	return float64(longest.Microseconds()) / 1000
}

// exchange sends a stream and receives one, and looks whether both came whole.
func exchange(ctx context.Context, h *lab.Host, to netip.AddrPort) error {
	var conn *net.TCPConn
	err := h.Do(func() error {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", to.String())
		if err == nil {
			conn = c.(*net.TCPConn)
		}
		return err
	})
	if err != nil {
		return err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return err
		}
	}
	sent := make(chan error, 1)
	go func() { sent <- upload(conn) }()
	h256 := sha256.New()
	if _, err := io.CopyN(h256, conn, gapSize); err != nil {
		return errors.Join(err, conn.Close(), <-sent)
	}
	farewell, err := io.ReadAll(conn)
	if err := errors.Join(err, <-sent); err != nil {
		return err
	}
	up, down := stream.Sum(upSeed, gapSize), stream.Sum(downSeed, gapSize)
	switch {
	case !bytes.Equal(h256.Sum(nil), down[:]):
		return errors.New("the client did not receive the servers' stream")
	case !bytes.HasPrefix(farewell, up[:]):
		return errors.New("the servers did not receive the client's stream")
	}
	return nil
}

func upload(conn *net.TCPConn) error {
	source := stream.New(upSeed, 0)
	b := make([]byte, stream.Steady.Chunk)
	for left := gapSize; left > 0; left -= len(b) {
		b = b[:min(len(b), left)]
		_, _ = source.Read(b) // cannot fail
		if _, err := conn.Write(b); err != nil {
			return err
		}
		stream.Steady.Wait()
	}
	return conn.CloseWrite()
}

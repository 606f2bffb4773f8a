// Package gap measures what a client feels of a handoff: how long it is without
// news while its server moves, in a steady stream both ways. tests/kernel does so
// on netem, tests/bench on lab.Delayed links.
package gap

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/vanycast/vanycast/tests/cluster"
	"github.com/vanycast/vanycast/tests/lab"
)

// The network: 20 ms from one replica to another and back, 40 ms from a client to
// a replica and back.
const (
	ReplicaLink = 5 * time.Millisecond // each way, as that of the home agent
	ClientLink  = 15 * time.Millisecond
)

const (
	size     = 3_750_000 // bytes in each direction
	every    = 750_000   // between two handoffs
	ahead    = 200_000   // between preparing one early and that
	upSeed   = 1
	downSeed = 2
)

// Felt is what a client felt of handoffs in one mode: the longest silence of
// each, in milliseconds. Down: between bytes that it did not have before; up:
// between acknowledgements of bytes that were not acknowledged before. Calm is
// the longest in the middle between two handoffs: the lab's own.
type Felt struct {
	Client   string    `json:"client"`
	Mode     string    `json:"mode"`
	Early    bool      `json:"early"` // the application said so before (PrepareHandoff)
	Handoffs int       `json:"handoffs"`
	Down     []float64 `json:"down_ms"`
	Up       []float64 `json:"up_ms"`
	Calm     []float64 `json:"calm_ms"`
}

// Way is a way of handing off.
type Way struct {
	Mode  string
	Early bool // the application says so before
}

// Ways are those that can be felt to differ.
func Ways() []Way {
	return []Way{{"basic", false}, {"prepared", false}, {"prepared", true}, {"seamless", false}, {"seamless", true}}
}

func (w Way) String() string {
	if w.Early {
		return w.Mode + ", prepared early"
	}
	return w.Mode
}

// Clients are a host with Mobile IPv6 and one without.
func Clients() []string { return []string{"modern", "legacy"} }

// Feel lets a client exchange streams of a kilobyte each millisecond with servers
// that hand it on. slow is called once all is up. The bytes must be right.
func Feel(ctx context.Context, tb lab.TB, n *lab.ThesisNet, bin, client string, way Way, slow func()) (Felt, error) {
	f := Felt{Client: client, Mode: way.Mode, Early: way.Early}
	service := cluster.Service{
		Name: "stream", Contact: netip.AddrPortFrom(netip.MustParseAddr(lab.ContactAddress), 4000), NeverSelf: true,
		Extra: []string{fmt.Sprintf("mode = %q", way.Mode)},
	}
	c, err := cluster.New(ctx, tb, n, bin, cluster.WithServices(service), cluster.WithDataPlane("bpf"))
	if err != nil {
		return f, err
	}
	daemons, err := c.StartAll(ctx)
	if err != nil {
		return f, err
	}
	for i, name := range lab.Replicas() {
		args := []string{"-steady", "-seed", strconv.Itoa(downSeed), "-size", strconv.Itoa(size), "-every", strconv.Itoa(every)}
		if way.Early {
			next, _ := lab.SiteOf(lab.Replicas()[(i+1)%len(lab.Replicas())])
			args = append(args, "-next", next.Addr.String(), "-ahead", strconv.Itoa(ahead))
		}
		if _, err := c.StartServer(name, "stream", args...); err != nil {
			return f, err
		}
	}
	if err := c.WaitServing(ctx, daemons, "stream"); err != nil {
		return f, err
	}
	slow()
	const heads = 200
	capture, err := n.Router.Capture(client, lab.Snaplen(heads))
	if err != nil {
		return f, err
	}
	if err := errors.Join(exchange(ctx, n.Lookup(client), service.Contact), capture.Stop()); err != nil {
		return f, err
	}
	began, err := handoffs(ctx, daemons, way.Mode)
	if err != nil {
		return f, err
	}
	f.Handoffs = len(began)
	f.Down, f.Up, f.Calm, err = silences(ctx, capture, began)
	return f, err
}

// handoffs are the moments when those of the stream began. That which distributes
// the client, at the beginning, is not one.
func handoffs(ctx context.Context, daemons map[string]*cluster.Daemon, mode string) ([]time.Time, error) {
	var began []time.Time
	for _, name := range lab.Replicas() {
		records, err := daemons[name].Handoffs(ctx)
		if err != nil {
			return nil, err
		}
		for _, r := range records {
			switch {
			case r.Role != "donor":
			case r.Error != "":
				return nil, fmt.Errorf("a handoff from %s failed: %s", name, r.Error)
			case r.Mode != mode:
				return nil, fmt.Errorf("a handoff in mode %s, not %s", r.Mode, mode)
			default:
				began = append(began, r.Started)
			}
		}
	}
	slices.SortFunc(began, time.Time.Compare)
	const few = size/every - 1
	if len(began) < few {
		return nil, fmt.Errorf("%d handoffs, want %d", len(began), few)
	}
	return began[len(began)-few:], nil
}

// silences are the longest of each handoff, both ways.
func silences(ctx context.Context, c *lab.Capture, began []time.Time) (down, up, calm []float64, err error) {
	rows, err := c.Fields(ctx, "tcp.srcport == 4000", "frame.time_epoch", "tcp.seq_raw", "tcp.len", "tcp.ack_raw")
	if err != nil {
		return nil, nil, nil, err
	}
	var data, acks progress
	for _, row := range rows {
		at, err := strconv.ParseFloat(row[0], 64)
		var fields [3]uint64
		for i := range fields {
			if err == nil {
				fields[i], err = strconv.ParseUint(row[i+1], 10, 32)
			}
		}
		if err != nil {
			return nil, nil, nil, fmt.Errorf("tshark's %q: %w", row, err)
		}
		when := time.UnixMicro(int64(at * 1e6))
		data.reached(when, uint32(fields[0]+fields[1]))
		acks.reached(when, uint32(fields[2]))
	}
	for i, from := range began {
		// A handoff's consequences are over before the next, and before the end.
		const over = 500 * time.Millisecond
		to := from.Add(over)
		if i+1 < len(began) {
			to = began[i+1]
			calm = append(calm, max(data.silence(from.Add(over), to), acks.silence(from.Add(over), to)))
		}
		down = append(down, data.silence(from, to))
		up = append(up, acks.silence(from, to))
	}
	return down, up, calm, nil
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

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
	every    = 750_000 // bytes each way between two handoffs
	ahead    = 200_000 // between preparing one early and that
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
	// Again is how many segments with data were sent a second time, by the servers
	// and by the client, in all of the stream. No link loses any.
	Again [2]int `json:"again"`
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

// Trial is what is to be felt.
type Trial struct {
	Client   string // host
	Way      Way
	Handoffs int
}

// size is the length of the streams. The last handoff is well before their end:
// with nothing sent any more nothing is felt.
func (t Trial) size() int { return t.Handoffs*every + every*2/3 }

// Feel lets a client exchange streams of a kilobyte each millisecond with servers
// that hand it on. slow is called once all is up. The bytes must be right.
func Feel(ctx context.Context, tb lab.TB, n *lab.ThesisNet, bin string, t Trial, slow func()) (Felt, error) {
	client, way, size := t.Client, t.Way, t.size()
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
	if err := errors.Join(exchange(ctx, n.Lookup(client), service.Contact, size), capture.Stop()); err != nil {
		return f, err
	}
	began, err := handoffs(ctx, daemons, t)
	if err != nil {
		return f, err
	}
	f.Handoffs = len(began)
	return f, f.read(ctx, capture, began)
}

// handoffs are the moments when those of the stream began. That which distributes
// the client, at the beginning, is not one.
func handoffs(ctx context.Context, daemons map[string]*cluster.Daemon, t Trial) ([]time.Time, error) {
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
			case r.Mode != t.Way.Mode:
				return nil, fmt.Errorf("a handoff in mode %s, not %s", r.Mode, t.Way.Mode)
			default:
				began = append(began, r.Started)
			}
		}
	}
	slices.SortFunc(began, time.Time.Compare)
	if len(began) < t.Handoffs {
		return nil, fmt.Errorf("%d handoffs, want %d", len(began), t.Handoffs)
	}
	return began[len(began)-t.Handoffs:], nil
}

// read finds the longest silences of each handoff, both ways, and what was sent
// again.
func (f *Felt) read(ctx context.Context, c *lab.Capture, began []time.Time) error {
	rows, err := c.Fields(ctx, "tcp.port == 4000", "tcp.srcport", "frame.time_epoch", "tcp.seq_raw", "tcp.len", "tcp.ack_raw")
	if err != nil {
		return err
	}
	var data, acks progress
	var servers, client carried
	for _, row := range rows {
		at, err := strconv.ParseFloat(row[1], 64)
		var fields [3]uint64
		for i := range fields {
			if err == nil {
				fields[i], err = strconv.ParseUint(row[i+2], 10, 32)
			}
		}
		if err != nil {
			return fmt.Errorf("tshark's %q: %w", row, err)
		}
		when, seq, length := time.UnixMicro(int64(at*1e6)), uint32(fields[0]), uint32(fields[1])
		if row[0] != "4000" {
			client.segment(seq, length)
			continue
		}
		servers.segment(seq, length)
		data.reached(when, seq+length)
		acks.reached(when, uint32(fields[2]))
	}
	f.Again = [2]int{servers.again, client.again}
	for i, from := range began {
		// A handoff's consequences are over before the next, and before the end.
		const over = 500 * time.Millisecond
		to := from.Add(over)
		if i+1 < len(began) {
			to = began[i+1]
			f.Calm = append(f.Calm, max(data.silence(from.Add(over), to), acks.silence(from.Add(over), to)))
		}
		f.Down = append(f.Down, data.silence(from, to))
		f.Up = append(f.Up, acks.silence(from, to))
	}
	return nil
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

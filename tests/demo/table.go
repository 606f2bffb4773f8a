package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/vanycast/vanycast/tests/cluster"
	"github.com/vanycast/vanycast/tests/lab"
)

// handoff is a row of the table and of build/demo.json.
type handoff struct {
	Client string  `json:"client"`
	From   string  `json:"from"`
	To     string  `json:"to"`
	Mode   string  `json:"mode"`
	GapMS  float64 `json:"gap_ms"`
	Bytes  int     `json:"bytes"`
	Lost   int     `json:"lost"`

	started time.Time
}

// leastHandoffs is how many each client must have had, in both its sessions.
var leastHandoffs = map[string]int{"modern": 13, "legacy": 9}

// collect asks every replica for the handoffs that it gave, and sorts them by
// time.
func collect(ctx context.Context, daemons map[string]*cluster.Daemon, n *lab.ThesisNet) ([]handoff, error) {
	var all []handoff
	var failed []error
	for _, name := range lab.Replicas() {
		records, err := daemons[name].Handoffs(ctx)
		if err != nil {
			return nil, err
		}
		for _, r := range records {
			switch {
			case r.Role != "donor":
			case r.Error == "":
				all = append(all, handoff{
					Client: r.Client.String(), From: nameOf(r.From), To: nameOf(r.To), Mode: r.Mode,
					GapMS: r.Gap, Bytes: r.Bytes, started: r.Started,
				})
			default:
				failed = append(failed, fmt.Errorf("handoff of %v from %s to %s: %s", r.Client, nameOf(r.From), nameOf(r.To), r.Error))
			}
		}
	}
	slices.SortFunc(all, func(a, b handoff) int { return a.started.Compare(b.started) })
	return all, errors.Join(failed...)
}

// nameOf is the name of the host at an address.
func nameOf(a fmt.Stringer) string {
	for _, s := range lab.Sites() {
		if s.Addr.String() == a.String() {
			return s.Name
		}
	}
	return a.String()
}

func table(handoffs []handoff) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\nhandoff\tclient\tmode\tfrom\tto\tgap ms\tbytes moved\tpackets lost\t")
	for i, h := range handoffs {
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%.1f\t%d\t%d\t\n", i+1, h.host(), h.Mode, h.From, h.To, h.GapMS, h.Bytes, h.Lost)
	}
	fmt.Fprintln(w, "\nmode\tclient\thandoffs\tmedian gap ms\tlongest\tpackets lost\t")
	for _, s := range summary(handoffs) {
		fmt.Fprintf(w, "%s\t%s\t%d\t%.1f\t%.1f\t%d\t\n", s.mode, s.host, len(s.gaps), s.gaps[len(s.gaps)/2], s.gaps[len(s.gaps)-1], s.lost)
	}
	w.Flush() // into memory: cannot fail
	return b.String() + "\n"
}

// kind is all handoffs of a client in one mode.
type kind struct {
	mode, host string
	gaps       []float64 // the shortest first
	lost       int
}

// summary puts the modes beside each other, in the order in which they were seen.
func summary(handoffs []handoff) []kind {
	var kinds []kind
	for _, h := range handoffs {
		i := slices.IndexFunc(kinds, func(k kind) bool { return k.mode == h.Mode && k.host == h.host() })
		if i < 0 {
			i = len(kinds)
			kinds = append(kinds, kind{mode: h.Mode, host: h.host()})
		}
		k := &kinds[i]
		k.gaps, k.lost = append(k.gaps, h.GapMS), k.lost+h.Lost
		slices.Sort(k.gaps)
	}
	return kinds
}

// judge compares the handoffs with what the sessions asked for. A seamless one
// loses nothing; what others lose is shown, not judged: TCP repairs it.
func judge(handoffs []handoff) error {
	number, last := map[string]int{}, map[string]handoff{}
	for i, h := range handoffs {
		before, again := last[h.Client]
		switch {
		case h.Mode == "seamless" && h.Lost > 0:
			return fmt.Errorf("handoff %d of %s was seamless, but %d packets were sent again", i+1, h.Client, h.Lost)
		case h.From == h.To:
			return fmt.Errorf("handoff %d went from %s to itself", i+1, h.From)
		case again && h.From != before.To:
			return fmt.Errorf("handoff %d of %s was from %s, but the one before went to %s", i+1, h.Client, h.From, before.To)
		}
		number[h.host()]++
		last[h.Client] = h
	}
	for host, least := range leastHandoffs {
		if number[host] < least {
			return fmt.Errorf("%d handoffs of %s, expected at least %d", number[host], host, least)
		}
	}
	return nil
}

// host is the name of the client's host.
func (h handoff) host() string {
	client, err := netip.ParseAddrPort(h.Client)
	if err != nil {
		return h.Client
	}
	return nameOf(client.Addr())
}

func writeResult(path string, handoffs []handoff) error {
	b, err := json.MarshalIndent(map[string]any{"handoffs": handoffs}, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o644)
}

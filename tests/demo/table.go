package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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

// leastHandoffs is how many the session must have had.
const leastHandoffs = 10

// collect asks every replica for the handoffs that it gave, and sorts them by
// time.
func collect(ctx context.Context, daemons map[string]*cluster.Daemon, n *lab.ThesisNet) ([]handoff, error) {
	var all []handoff
	var failed []error
	modern, _ := lab.SiteOf("modern")
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
			case r.Client.Addr() == modern.Addr:
				failed = append(failed, fmt.Errorf("handoff of %v from %s to %s: %s", r.Client, nameOf(r.From), nameOf(r.To), r.Error))
			}
		}
	}
	slices.SortFunc(all, func(a, b handoff) int { return a.started.Compare(b.started) })
	return all, errors.Join(failed...)
}

// nameOf is the name of the replica at a care-of address.
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
	fmt.Fprintln(w, "\nhandoff\tfrom\tto\tgap ms\tbytes moved\tpackets lost\t")
	for i, h := range handoffs {
		fmt.Fprintf(w, "%d\t%s\t%s\t%.1f\t%d\t%d\t\n", i+1, h.From, h.To, h.GapMS, h.Bytes, h.Lost)
	}
	w.Flush() // into memory: cannot fail
	return b.String() + "\n"
}

// judge compares the handoffs with what the session asked for. Losses are
// shown, not judged: TCP repairs them.
func judge(handoffs []handoff) error {
	if len(handoffs) < leastHandoffs {
		return fmt.Errorf("%d handoffs, expected at least %d", len(handoffs), leastHandoffs)
	}
	legacy, _ := lab.SiteOf("legacy")
	for i, h := range handoffs {
		switch {
		case h.From == h.To:
			return fmt.Errorf("handoff %d went from %s to itself", i+1, h.From)
		case i > 0 && h.From != handoffs[i-1].To:
			return fmt.Errorf("handoff %d was from %s, but the one before went to %s", i+1, h.From, handoffs[i-1].To)
		case strings.Contains(h.Client, legacy.Addr.String()):
			return fmt.Errorf("handoff %d: legacy was handed over, and it has no Mobile IPv6", i+1)
		}
	}
	return nil
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

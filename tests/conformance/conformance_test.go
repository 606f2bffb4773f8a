package conformance

import (
	"context"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vanycast/vanycast/tests/cluster"
)

var update = flag.Bool("update", false, "rewrite docs/conformance.md")

// patience bounds the whole.
const patience = 10 * time.Minute

// Every case of the catalogue, each role in a laboratory of its own, all side by
// side; then the document must be what they make.
func TestConformance(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cases, err := Catalogue(ctx)
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	if err := cluster.Build(ctx, bin, "./cmd/vanycastd", "./cmd/vanyctl", "./examples/echo"); err != nil {
		t.Fatal(err)
	}
	certificates := issue(ctx, t, bin)
	var mu sync.Mutex
	results := map[string]Result{}
	t.Run("roles", func(t *testing.T) {
		for _, s := range setups {
			t.Run(s.role, func(t *testing.T) {
				t.Parallel()
				got := runRole(ctx, t, s, bin, certificates)
				mu.Lock()
				defer mu.Unlock()
				for id, r := range got {
					results[s.role+" "+id] = r
				}
			})
		}
	})
	for _, c := range cases {
		if c.Reason != "" {
			continue
		}
		t.Run(strings.TrimPrefix(testName(c), "TestConformance/"), func(t *testing.T) {
			r, ran := results[key(c)]
			switch {
			case !ran:
				t.Errorf("%s: no result", c.Title)
			case r.Result != "PASS":
				t.Errorf("%s (%s): %s", c.Title, section(c.Section), r.Detail)
			}
		})
	}
	compare(t, Document(cases, results))
}

// issue makes the certificates of a group of one replica.
func issue(ctx context.Context, t *testing.T, bin string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for _, args := range [][]string{{"init", "--dir", dir}, {"issue", "--dir", dir, "nut", "--address", "2001:db8:1::10"}} {
		if out, err := exec.CommandContext(ctx, filepath.Join(bin, "vanyctl"), append([]string{"ca"}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("vanyctl ca %v: %v\n%s", args, err, out)
		}
	}
	return dir
}

func runRole(ctx context.Context, t *testing.T, s setup, bin, certificates string) map[string]Result {
	t.Helper()
	b, err := s.build(t, bin, certificates)
	if err != nil {
		t.Fatal(err)
	}
	if !s.later {
		if err := b.start(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if s.echo {
		if err := b.serve(ctx); err != nil {
			t.Fatal(err)
		}
	}
	list, err := runTester(ctx, b.tester, s.role, b.mac, b.keys, b.obey)
	if err != nil {
		t.Error(err)
	}
	got := map[string]Result{}
	for _, r := range list {
		got[r.ID] = r
	}
	if dir := os.Getenv("CONFORMANCE_LOGS"); dir != "" && b.daemon != nil {
		log, _ := os.ReadFile(b.daemon.Log())
		if err := os.WriteFile(filepath.Join(dir, s.role+".log"), log, 0o644); err != nil {
			t.Error(err)
		}
	}
	if b.daemon == nil {
		return got
	}
	if err := b.daemon.Stop(); err != nil {
		t.Errorf("%v\n%s", err, b.daemon.Tail(30))
	}
	return got
}

// compare holds the document against the committed one, or writes it.
func compare(t *testing.T, document string) {
	t.Helper()
	root, err := cluster.Root()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(root, "docs", "conformance.md")
	if *update {
		if err := os.WriteFile(path, []byte(document), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	committed, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(committed), document); d != "" {
		t.Errorf("docs/conformance.md is not what the cases make; run make conformance (-committed +now):\n%s", d)
	}
}

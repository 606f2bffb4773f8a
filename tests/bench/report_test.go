package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vanycast/vanycast/tests/cluster"
)

// A whole run replaces its part of the document and nothing else.
func TestReport(t *testing.T) {
	path := filepath.Join(t.TempDir(), "benchmarks.md")
	text := "# Before\n" + reportBegins + "\nold\n" + reportEnds + "\nafter\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var r results
	r.add("handoff_processor_time", 250, "µs", 25)
	r.add("binding_cache_1000_update", 150, "ns", 100)
	r.add("something_new", 1, "s", 2)
	if err := r.report(path, time.Unix(1e9, 0)); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got := string(b)
	for _, want := range []string{
		"# Before\n", "\nafter\n", "2001-09-09, Linux ",
		"| a whole handoff: processor time of both daemons | **10.00** | ≤ 2.5 | 250 µs | 25.0 µs | the endpoint's move in C |\n",
		"| binding cache, 1000 bindings: an update | **1.50** |  | 150 ns | 100 ns | a plain Go map |\n",
		"| something_new | **0.50** |  | 1.00 s | 2.00 s | its reference |\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
	if strings.Contains(got, "old") {
		t.Errorf("what was there is there still:\n%s", got)
	}
}

// The document of this repository has the place.
func TestDocumentTakesReports(t *testing.T) {
	root, err := cluster.Root()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(root, "docs", "benchmarks.md"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "benchmarks.md")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := (results{}).report(path, time.Now()); err != nil {
		t.Error(err)
	}
	if err := replace(path, gapsBegin, gapsEnd, gapsTable(nil, time.Now())); err != nil {
		t.Error(err)
	}
}

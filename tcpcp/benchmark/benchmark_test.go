package benchmark

import (
	"testing"
	"time"
)

// BenchmarkMove gives the processor time of a move, the bare program's for as
// many moves, and their ratio.
func BenchmarkMove(b *testing.B) {
	bare, err := NewReference(b.Context(), b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		queue int
	}{{"empty", 0}, {"64KB", 64 << 10}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			own, err := runMoves(b.Context(), c.queue, b.N)
			if err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			reference, err := bare.Run(b.Context(), c.queue, b.N)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(own), "cpu-ns/move")
			b.ReportMetric(float64(reference), "bare-cpu-ns/move")
			b.ReportMetric(float64(own)/float64(reference), "ratio")
		})
	}
}

// The measurement itself works: both sides move, and take time for it.
func TestRun(t *testing.T) {
	results, err := Run(t.Context(), 20)
	if err != nil {
		t.Fatal(err)
	}
	if len(results) != 2 {
		t.Fatalf("%d results", len(results))
	}
	for _, r := range results {
		t.Logf("%s: %v, bare %v, ratio %.2f", r.Name, r.Value, r.Reference, r.Ratio())
		if r.Value < time.Microsecond || r.Reference < time.Microsecond || r.Ratio() <= 0 {
			t.Errorf("%s: nobody is that fast", r.Name)
		}
	}
}

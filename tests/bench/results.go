package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
)

// result is a row of the table and of build/bench.json. Ratio is Value over
// Reference.
type result struct {
	Name      string  `json:"name"`
	Value     float64 `json:"value"`
	Unit      string  `json:"unit"`
	Reference float64 `json:"reference"`
	Ratio     float64 `json:"ratio"`
}

type results []result

func (r *results) add(name string, value float64, unit string, reference float64) {
	*r = append(*r, result{name, value, unit, reference, value / reference})
}

func (r results) table() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "measured\tvalue\tunit\treference\tratio")
	for _, x := range r {
		fmt.Fprintf(w, "%s\t%.2f\t%s\t%.2f\t%.2f\n", x.Name, x.Value, x.Unit, x.Reference, x.Ratio)
	}
	w.Flush() // into memory: cannot fail
	return b.String()
}

func (r results) write(path string) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o644)
}

// median of a list that is not empty.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

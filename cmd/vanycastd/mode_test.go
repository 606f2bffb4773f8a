package main

import (
	"testing"

	"github.com/vanycast/vanycast/conf"
	"github.com/vanycast/vanycast/handoff"
)

// What the configuration calls a mode is one, and without a word the best is
// taken.
func TestModes(t *testing.T) {
	cfg, err := conf.Load("../../conf/testdata/replica.toml")
	if err != nil {
		t.Fatal(err)
	}
	r := &replica{d: &host{cfg: cfg}}
	if got := r.mode(cfg.Services[0].Name); got != handoff.ModeBest {
		t.Errorf("by default %v, want %v", got, handoff.ModeBest)
	}
	for m := handoff.ModeBasic; m <= handoff.ModeBest; m++ {
		cfg.Services[0].Mode = m.String()
		if got := r.mode(cfg.Services[0].Name); got != m {
			t.Errorf("%q is %v", m, got)
		}
	}
}

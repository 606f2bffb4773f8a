package main

import (
	"errors"
	"flag"
	"strings"
	"testing"

	"github.com/vanycast/vanycast"
)

func TestParse(t *testing.T) {
	var stderr strings.Builder
	// As the thesis has it started, all options at once.
	cfg, err := parse(strings.Fields("-c /etc/vanycast/vanycast.toml -l 2001:db8:1::10 -i eth0 -n Glass -w 10 -s -d"), &stderr)
	if err != nil {
		t.Fatal(err, stderr.String())
	}
	if cfg.File != "/etc/vanycast/vanycast.toml" || cfg.Local.String() != "2001:db8:1::10" || cfg.Interface != "eth0" ||
		cfg.name != "Glass" || cfg.workers != 10 || !cfg.silent || !cfg.remote || cfg.Policy != "random" {
		t.Errorf("got %+v", cfg)
	}
	cfg, err = parse(nil, &stderr)
	if err != nil || cfg.workers != defaultWorkers || cfg.silent || cfg.remote {
		t.Errorf("without options: %+v, %v", cfg, err)
	}
}

func TestParseRefuses(t *testing.T) {
	for args, want := range map[string]string{
		"-w 0":     "echo: -w: 0 is not a number of workers: 1 to 65536\n",
		"-w 65537": "echo: -w: 65537 is not",
		"-w many":  `invalid value "many" for flag -w`,
		"-l eth0":  `invalid value "eth0" for flag -l`,
		"-q":       "flag provided but not defined: -q",
		"-s x":     `echo: unexpected argument "x"`,
	} {
		var stderr strings.Builder
		if _, err := parse(strings.Fields(args), &stderr); err == nil || !strings.HasPrefix(stderr.String(), want) {
			t.Errorf("%s: %v, %q", args, err, stderr.String())
		}
	}
	if _, err := parse([]string{"-h"}, new(strings.Builder)); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("-h: %v", err)
	}
}

// Whatever the reason is, the client gets one line.
func TestPlain(t *testing.T) {
	for code, want := range map[string]string{
		"no-mobile-ipv6": "Mobile IPv6", "shared": "another connection", "no-target": "no other replica",
		"unreachable": "does not answer", "failed": "vanycast: so it is",
	} {
		got := plain(&vanycast.HandoffError{Code: code, Text: "so\r\n it\tis"})
		if !strings.Contains(got, want) || strings.ContainsAny(got, "\r\n\t") {
			t.Errorf("%s: %q", code, got)
		}
	}
}

package main

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	var stderr strings.Builder
	cfg, err := parse(strings.Fields("-g x.toml -a 80 -l 2001:db8:1::10 -i eth0 -s ::1 -c -n 5 -v"), &stderr)
	if err != nil {
		t.Fatal(err, stderr.String())
	}
	if cfg.File != "x.toml" || cfg.port != 80 || cfg.Local.String() != "2001:db8:1::10" || cfg.Interface != "eth0" ||
		cfg.host != "::1" || !cfg.contactOnly || cfg.dialers != 5 || !cfg.verbose || cfg.Policy != "random" {
		t.Errorf("got %+v", cfg)
	}
	cfg, err = parse([]string{"-a", "80"}, &stderr)
	if err != nil || cfg.host != "localhost" || cfg.contactOnly || cfg.verbose || cfg.dialers != defaultDialers {
		t.Errorf("with -a only: %+v, %v", cfg, err)
	}
}

func TestParseRefuses(t *testing.T) {
	for args, want := range map[string]string{
		"":              "vanyproxy: -a is missing: the port of the application server\n",
		"-a 65536":      "vanyproxy: -a: 65536 is not a port: 1 to 65535\n",
		"-a -1":         "vanyproxy: -a: -1 is not a port",
		"-a http":       `invalid value "http" for flag -a`,
		"-a 80 -n 0":    "vanyproxy: -n: 0 is out of range: 1 to 4096\n",
		"-a 80 -s= -c":  "vanyproxy: -s: the host of the application server is empty\n",
		"-a 80 x":       `vanyproxy: unexpected argument "x"`,
		"-a 80 -l eth0": `invalid value "eth0" for flag -l`,
		"-a 80 --wrong": "flag provided but not defined: -wrong",
	} {
		var stderr strings.Builder
		if _, err := parse(strings.Fields(args), &stderr); err == nil || !strings.HasPrefix(stderr.String(), want) {
			t.Errorf("%s: %v, %q", args, err, stderr.String())
		}
	}
}

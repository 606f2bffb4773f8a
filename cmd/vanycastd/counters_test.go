package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/vanycast/vanycast/handoff"
	"github.com/vanycast/vanycast/mipv6/dataplane/planetest"
	"github.com/vanycast/vanycast/peer"
	"github.com/vanycast/vanycast/relay"
)

// Parts have names in common, and each keeps its own.
func TestCountersOfAllParts(t *testing.T) {
	plane := planetest.New()
	plane.Count("drop_room", 7)
	d := &host{plane: plane}
	d.signalling.malformed.Add(2)
	all := d.counters()
	if all["dataplane.drop_room"] != 7 || all["signalling.dropped_malformed"] != 2 {
		t.Errorf("%v", all)
	}
}

// The counters that docs/operations.md explains exist.
func TestDocumentedCounters(t *testing.T) {
	doc, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, chapter, ok := strings.Cut(string(doc), "\n### Counters\n")
	if !ok {
		t.Fatal("no chapter")
	}
	chapter, _, _ = strings.Cut(chapter, "\n## ")
	rows := strings.Join(regexp.MustCompile(`(?m)^\| .*$`).FindAllString(chapter, -1), "\n")
	named := regexp.MustCompile("`([a-z_]+)\\.([a-z_]+)`").FindAllStringSubmatch(rows, -1)
	if len(named) < 15 {
		t.Fatalf("only %d counters found", len(named))
	}
	plane := planetest.New()
	// Those of these are told by what they return, the others' by constants.
	returned := map[string]map[string]uint64{
		"handoff": new(handoff.Agent).Counters(), "peers": new(peer.Node).Counters(), "signalling": new(signalling).counters(),
		"relay": relay.New(relay.Config{}, relay.Deps{Plane: plane}).Counters(),
	}
	constants := map[string]string{
		"anycast": "../../anycast/counters.go", "home_agent": "../../mipv6/homeagent/counters.go",
		"correspondent": "../../mipv6/correspondent/counters.go", "dataplane": "../../mipv6/dataplane/constants.go", "ipsec": "../../mipv6/ipsec/counters.go",
	}
	for _, n := range named {
		part, name := n[1], n[2]
		known := false
		if counters, ok := returned[part]; ok {
			_, known = counters[name]
		} else if file, ok := constants[part]; ok {
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			known = strings.Contains(string(source), `= "`+name+`"`)
		}
		if !known {
			t.Errorf("there is no counter %s.%s", part, name)
		}
	}
}

package rules

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/vanycast/vanycast"

// layers are the design's: cmd → api → framework → handoff → {anycast, tcpcp}
// → mipv6/*. A package may import packages of a lower layer; within one layer
// only those of its own folder (api and api/wire). Longer paths win.
var layers = map[string]int{
	"internal/crew": -1, // below all

	"mipv6":   0,
	"peer":    0,
	"relay":   1,
	"tcpcp":   2,
	"anycast": 2,
	"handoff": 3,

	"framework": 4,
	"api":       5,
	"conf":      5,
	"":          6, // the root; see only
	"internal":  7,
	"cmd":       8,
}

// only lists packages that may import these packages of ours and no other.
var only = map[string][]string{
	"":         {"api/wire"}, // the root: what a server imports
	"mipv6":    {},
	"peer":     {"internal/crew"},
	"peer/pki": {},
	"api/wire": {},
	"conf":     {},
	"tcpcp":    {},

	"internal/crew":     {},
	"internal/thesis":   {""},
	"internal/scenario": {}, // for tests of every layer
}

type listed struct {
	ImportPath string
	Imports    []string
}

// packages are the module's packages with what they import, tests left out.
func packages(t *testing.T) map[string][]string {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", "./...")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list: %v: %s", err, exit.Stderr)
		}
		t.Fatal(err)
	}
	all := map[string][]string{}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		var ours []string
		for _, i := range p.Imports {
			if name, ok := trimModule(i); ok {
				ours = append(ours, name)
			}
		}
		name, _ := trimModule(p.ImportPath)
		all[name] = ours
	}
}

func trimModule(path string) (string, bool) {
	if path == module {
		return "", true
	}
	return strings.CutPrefix(path, module+"/")
}

// layerOf finds the layer of a package, and the folder that it comes from.
func layerOf(name string) (folder string, layer int, ok bool) {
	if layer, ok = layers[name]; ok {
		return name, layer, ok
	}
	folder, _, _ = strings.Cut(name, "/")
	layer, ok = layers[folder]
	return folder, layer, ok
}

func TestImportsPointDownwards(t *testing.T) {
	for name, imports := range packages(t) {
		if allowed, limited := only[name]; limited {
			for _, i := range imports {
				if !slices.Contains(allowed, i) {
					t.Errorf("%q imports %q; it may import only %q of ours", name, i, allowed)
				}
			}
		}
		folder, layer, ok := layerOf(name)
		if !ok || name == "mipv6/dataplane/conformance" {
			// Examples (see below) and tests, and the suite that is one.
			continue
		}
		for _, i := range imports {
			otherFolder, other, known := layerOf(i)
			switch {
			case otherFolder == folder:
			case !known:
				t.Errorf("%q imports %q, which is nothing to build on", name, i)
			case other >= layer:
				t.Errorf("%q imports %q: imports point downwards (cmd, api, framework, handoff, anycast and tcpcp, mipv6)", name, i)
			}
		}
	}
}

// An application sees the root package, and through it the API's messages; it
// must not come to depend on the daemon's insides.
func TestExamplesUseOnlyTheLibrary(t *testing.T) {
	for name, imports := range packages(t) {
		if !strings.HasPrefix(name, "examples/") && name != "cmd/vanyproxy" {
			continue
		}
		for _, i := range imports {
			own := strings.HasPrefix(i, name+"/")
			if i != "" && i != "internal/thesis" && !own {
				t.Errorf("%q imports %q; an application imports only the root package (and the thesis's options)", name, i)
			}
		}
	}
}

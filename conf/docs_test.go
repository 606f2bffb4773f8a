package conf

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The configurations that the README has its readers type are valid.
func TestReadmeExamples(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile(`(?s)cat > /etc/vanycast/vanycast\.toml <<'END'\n(.*?)\nEND\n`).FindAllSubmatch(readme, -1)
	roles := map[Role]bool{}
	for _, b := range blocks {
		c, err := Parse("README.md", b[1])
		if err != nil {
			t.Errorf("%v\n%s", err, b[1])
			continue
		}
		for _, r := range c.Node.Roles {
			roles[r] = true
		}
	}
	for _, r := range []Role{RoleReplica, RoleHomeAgent, RoleCorrespondent} {
		if !roles[r] {
			t.Errorf("the README has no example of the role %s", r)
		}
	}
}

// Every key that the source reads has a row in docs/operations.md, and every
// row a key.
func TestEveryKeyIsDocumented(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	inSource := map[string]bool{}
	reads := regexp.MustCompile(`(?:\bt\.(?:str|name|iface|oneOf|boolean|integer|flag|port|duration|seconds|lifetime|address|addresses|list|file)\(|\]\(t, )"([a-z_]+)"`)
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range reads.FindAllSubmatch(b, -1) {
			inSource[string(m[1])] = true
		}
	}
	if len(inSource) < 30 {
		t.Fatalf("only %d keys found in the source: %v", len(inSource), inSource)
	}
	doc, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	chapter := regexp.MustCompile(`(?s)\n## Configuration\n(.*?)\n## `).FindSubmatch(doc)
	if chapter == nil {
		t.Fatal("docs/operations.md has no chapter Configuration")
	}
	inDoc := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| (`[a-z_]+`(?:, `[a-z_]+`)*) \\|").FindAllSubmatch(chapter[1], -1) {
		for _, key := range strings.Split(string(row[1]), ", ") {
			inDoc[strings.Trim(key, "`")] = true
		}
	}
	for key := range inSource {
		if !inDoc[key] {
			t.Errorf("%s is not in docs/operations.md", key)
		}
	}
	for key := range inDoc {
		if !inSource[key] {
			t.Errorf("%s is in docs/operations.md but not read", key)
		}
	}
}

package conf

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzParse: whatever the bytes are, Parse ends, and its answer is either a
// complete configuration or mistakes that stand within the file.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.toml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		doc, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(doc)
	}
	f.Add([]byte("[node]\nroles = [\n'replica', # [\n]\nx = '''\n[a]\n''''\n\"a b\".c = {d = 1}\n[[service]]\n[[service]]\n"))
	f.Fuzz(func(t *testing.T, doc []byte) {
		c, err := Parse("f.toml", doc)
		if err == nil {
			if len(c.Node.Roles) == 0 || c.Node.Interface == "" || c.Node.Name == "" || c.API.Socket == "" {
				t.Fatalf("accepted though incomplete: %+v", c)
			}
			return
		}
		var errs Errors
		if !errors.As(err, &errs) || len(errs) == 0 {
			t.Fatalf("%T: %v", err, err)
		}
		lines := bytes.Count(doc, []byte("\n")) + 1
		for _, e := range errs {
			if e.Line < 1 || e.Line > lines {
				t.Errorf("line %d of %d: %v", e.Line, lines, e)
			}
			if strings.Contains(e.Message, "%!") {
				t.Errorf("message: %v", e)
			}
		}
	})
}

package rules

import (
	"bytes"
	"go/format"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// longest is how many lines a file may have that a person wrote.
const longest = 500

// root is the repository's folder, seen from this one.
const root = "../.."

// generated is the line of the Go convention (go help generate).
var generated = regexp.MustCompile(`(?m)^// Code generated .* DO NOT EDIT\.$`)

// goFiles calls check for every Go file of the repository.
func goFiles(t *testing.T, check func(path string, source []byte)) {
	t.Helper()
	count := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := d.Name(); d.IsDir() && path != root && (strings.HasPrefix(name, ".") || name == "build" || name == "testdata") {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") {
			return nil
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		count++
		check(strings.TrimPrefix(path, root+"/"), source)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if count == 0 {
		t.Fatal("no Go files found: the rules look in the wrong folder")
	}
}

func TestFilesAreFormatted(t *testing.T) {
	goFiles(t, func(path string, source []byte) {
		formatted, err := format.Source(source)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			return
		}
		if !bytes.Equal(source, formatted) {
			t.Errorf("%s: not as gofmt writes it", path)
		}
	})
}

func TestFilesAreShort(t *testing.T) {
	goFiles(t, func(path string, source []byte) {
		if n := bytes.Count(source, []byte("\n")); n > longest && !generated.Match(source) {
			t.Errorf("%s: %d lines; more than %d is more than one subject", path, n, longest)
		}
	})
}

// Every package says what it is for; none is called after nothing in
// particular.
func TestPackagesSayWhatTheyAre(t *testing.T) {
	documented := map[string]bool{}
	goFiles(t, func(path string, source []byte) {
		f, err := parser.ParseFile(token.NewFileSet(), path, source, parser.ParseComments|parser.PackageClauseOnly)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			return
		}
		switch f.Name.Name {
		case "util", "utils", "common", "misc", "helpers":
			t.Errorf("%s: package %s is named after nothing in particular", path, f.Name.Name)
		}
		dir := filepath.Dir(path)
		if strings.HasSuffix(f.Name.Name, "_test") {
			return // documented by the package that it tests
		}
		documented[dir] = documented[dir] || f.Doc != nil && strings.TrimSpace(f.Doc.Text()) != ""
	})
	for dir, ok := range documented {
		if !ok {
			t.Errorf("%s: no package comment", dir)
		}
	}
}

// What is left to do is in the issue tracker, not in the source.
func TestNothingIsLeftToDo(t *testing.T) {
	mark := regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b`)
	goFiles(t, func(path string, source []byte) {
		if line := mark.Find(source); line != nil {
			t.Errorf("%s: %s", path, line)
		}
	})
}

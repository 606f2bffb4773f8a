package conf

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/BurntSushi/toml"
)

// Load reads and validates a configuration file. What is wrong in the file
// comes back as Errors; a file that cannot be read, as the error of that.
func Load(path string) (*Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	defer f.Close()
	doc, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	return Parse(path, doc)
}

// Parse validates a configuration that was read from path. Relative paths in
// it are relative to the folder of path.
func Parse(path string, doc []byte) (*Config, error) {
	if len(doc) > maxFile {
		return nil, Errors{{File: path, Line: 1, Message: fmt.Sprintf("is longer than %d bytes", maxFile)}}
	}
	root := map[string]any{}
	if _, err := toml.Decode(string(doc), &root); err != nil {
		return nil, Errors{syntax(path, err)}
	}
	r := &reader{where: locate(path, doc)}
	c := &Config{File: path, where: r.where}
	top := r.table("", root)

	r.node(c, top.section("node", true))
	r.api(c, top.section("api", false))
	r.log(c, top.section("log", false))
	if t := top.section("peers", false); t != nil {
		c.Peers = r.peers(t, filepath.Dir(path))
	}
	for _, t := range top.sections("service") {
		c.Services = append(c.Services, r.service(t))
	}
	if t := top.section("home_agent", false); t != nil {
		c.HomeAgent = r.homeAgent(t, c.Node.Interface)
	}
	r.correspondent(c, top.section("correspondent", false))
	for _, t := range top.sections("ipsec") {
		c.IPsec = append(c.IPsec, r.ipsec(t, filepath.Dir(path)))
	}
	top.unknownSections()

	r.contradictions(c, top.has("service"))
	if c.Node.CareOf.IsValid() {
		r.errs = append(r.errs, c.careOfMistakes()...)
	} else if !c.Has(RoleReplica) {
		r.errs = append(r.errs, c.ipsecMistakes()...)
	}
	if len(r.errs) > 0 {
		return nil, r.errs.sorted()
	}
	return c, nil
}

// syntax turns what the TOML library says into ours.
func syntax(path string, err error) *Error {
	var pe toml.ParseError
	if errors.As(err, &pe) {
		return &Error{File: path, Line: max(pe.Position.Line, 1), Key: pe.LastKey, Message: pe.Message}
	}
	return &Error{File: path, Line: 1, Message: err.Error()}
}

// section gives a table of the file. If it is not there: nil, and a mistake
// noted if it is needed in any case.
func (t *table) section(name string, needed bool) *table {
	if needed && !t.has(name) {
		t.fail(name, "the section [%s] is missing", name)
	}
	m, ok := get[map[string]any](t, name, "a section, as ["+name+"]")
	if !ok {
		return nil
	}
	return t.table(name, m)
}

// sections gives the elements of an array of tables.
func (t *table) sections(name string) []*table {
	elems, ok := get[[]map[string]any](t, name, "written as [["+name+"]]")
	if !ok {
		return nil
	}
	if len(elems) > maxServices {
		t.fail(name, "there are %d: at most %d", len(elems), maxServices)
		return nil
	}
	out := make([]*table, len(elems))
	for i, m := range elems {
		out[i] = t.table(fmt.Sprintf("%s[%d]", name, i), m)
	}
	return out
}

func (t *table) unknownSections() {
	var names []string
	for name := range t.m {
		if !t.used[name] {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		t.fail(name, "is not a section; there are: node, api, log, peers, service, home_agent, correspondent, ipsec")
	}
}

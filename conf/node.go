package conf

import (
	"os"
	"path/filepath"
	"strings"
)

func (r *reader) node(c *Config, t *table) {
	c.Node.DataPlane = DataPlaneAuto
	if t == nil {
		return
	}
	n := &c.Node
	n.Name = t.name("name", hostName())
	n.Interface = t.iface("interface", "")
	n.CareOf = t.address("care_of")
	n.DataPlane = DataPlane(t.oneOf("dataplane", string(DataPlaneAuto),
		string(DataPlaneAuto), string(DataPlaneXFRM), string(DataPlaneBPF)))
	for _, s := range t.list("roles") {
		switch role := Role(s); role {
		case RoleReplica, RoleHomeAgent, RoleCorrespondent:
			n.Roles = append(n.Roles, role)
		default:
			t.fail("roles", "%q is unknown; one or more of: replica, home-agent, correspondent", s)
		}
	}
	if roles, ok := t.m["roles"].([]any); ok && len(roles) == 0 {
		t.fail("roles", "names none; one or more of: replica, home-agent, correspondent")
	}
	t.require("roles", "interface")
	t.unknown()
}

// hostName is the default name; what the kernel calls the host may have bytes
// that a name may not have.
func hostName() string {
	name, err := os.Hostname()
	if err != nil || !goodName(name) {
		return "vanycast"
	}
	return name
}

func goodName(s string) bool {
	return s != "" && len(s) <= maxName && s != "." && s != ".." &&
		!strings.ContainsFunc(s, func(c rune) bool {
			return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("-_.", c))
		})
}

func (t *table) name(key, def string) string {
	s := t.str(key, def)
	if s != def && !goodName(s) {
		t.fail(key, "%q is not a name: letters, digits, '-', '_' and '.', at most %d", s, maxName)
		return def
	}
	return s
}

func (t *table) iface(key, def string) string {
	s := t.str(key, def)
	if len(s) > maxInterface || strings.ContainsAny(s, "/: \t") || s == "." || s == ".." {
		t.fail(key, "%q is not the name of an interface", s)
		return def
	}
	return s
}

func (r *reader) api(c *Config, t *table) {
	c.API.Socket = DefaultSocket
	if t == nil {
		return
	}
	c.API.Socket = t.str("socket", DefaultSocket)
	if !filepath.IsAbs(c.API.Socket) || len(c.API.Socket) > maxSocketPath {
		t.fail("socket", "%q is not an absolute path of at most %d bytes", c.API.Socket, maxSocketPath)
	}
	c.API.Group = t.str("group", "")
	t.unknown()
}

func (r *reader) log(c *Config, t *table) {
	c.Log = Log{Level: "info", Format: "text"}
	if t == nil {
		return
	}
	c.Log.Level = t.oneOf("level", "info", "debug", "info", "warn", "error")
	c.Log.Format = t.oneOf("format", "text", "text", "json")
	t.unknown()
}

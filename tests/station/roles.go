package station

import (
	"net/netip"
	"testing"

	"github.com/vanycast/vanycast/mipv6/correspondent"
	"github.com/vanycast/vanycast/mipv6/homeagent"
	"github.com/vanycast/vanycast/mipv6/mhsock"
	"github.com/vanycast/vanycast/tests/lab"
)

// HomeAgent runs the home agent role on a host.
func HomeAgent(t *testing.T, h *lab.Host) *homeagent.Role {
	t.Helper()
	s := New(t, h)
	var role *homeagent.Role
	if err := h.Do(func() (err error) {
		role, err = homeagent.New(
			homeagent.Config{Address: Agent, Prefix: netip.MustParsePrefix(lab.HomePrefix), Interface: "eth0"},
			homeagent.Deps{Plane: s.Plane, MH: s.Conn})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	s.Serve(role.Run, role.HandleMH, func(mhsock.ICMPError) bool { return false })
	return role
}

// Correspondent runs the correspondent role on a host.
func Correspondent(t *testing.T, h *lab.Host) *correspondent.Role {
	t.Helper()
	s := New(t, h)
	role, err := correspondent.New(correspondent.Config{}, correspondent.Deps{Plane: s.Plane, MH: s.Conn})
	if err != nil {
		t.Fatal(err)
	}
	s.Serve(role.Run, role.HandleMH, role.HandleICMP)
	return role
}

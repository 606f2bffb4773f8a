package homeagent

import (
	"net/netip"
	"time"
)

// Revoke ends the registration of a home address at a care-of address, and a
// detection for one, without a word to the mobile node: it is not trusted any
// more. False if there is none.
func (r *Role) Revoke(home, careOf netip.Addr) (revoked bool) {
	r.do(func(now time.Time) ([]action, bool) {
		var actions []action
		actions, revoked = r.core.revoke(now, home, careOf)
		return actions, true
	})
	return revoked
}

func (c *core) revoke(now time.Time, home, careOf netip.Addr) (actions []action, revoked bool) {
	if p := c.pending[home]; p != nil && p.answer.careOf() == careOf {
		actions, revoked = c.unpend(home), true
	}
	for _, b := range c.cache.Bindings() {
		if b.Home == home && b.CareOf == careOf {
			c.cache.Remove(now, b.Key)
			actions, revoked = append(actions, c.removed(b)...), true
		}
	}
	return actions, revoked
}

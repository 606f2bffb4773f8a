package flows

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/bindings"
)

var errSilent = errors.New("the home agent does not answer")

// acknowledgement takes a Binding Acknowledgement for a contact address; false if
// it is not for a further care-of address of ours.
func (c *core) acknowledgement(now time.Time, home, from netip.Addr, m *mipv6.BindingAcknowledgement) bool {
	ct := c.contacts[home]
	id, ok := mipv6.FindOption[*mipv6.BindingIdentifier](m)
	if ct == nil || from != ct.HomeAgent || !ok || id.ID != c.id || id.Priority != mipv6.LeastBindingPriority {
		return false
	}
	ack := *m
	if id.Status != 0 {
		ack.Status = id.Status // for this binding it counts (RFC 5648 §4.1)
	}
	said, known := ct.said[m.Sequence]
	out := c.list.Acknowledge(now, ct.target(), &ack)
	switch out.Kind {
	case bindings.Accepted:
		ct.said, ct.failures = nil, 0
		if out.Deleted {
			c.forget(ct)
			return true
		}
		if !ct.registered {
			ct.registered = true
			c.do(logAction{slog.LevelInfo, "home agent takes flow bindings", []any{"contact", home, "home_agent", from, "binding_id", c.id}})
		}
		if known {
			c.settle(now, ct, said, mipv6.FindOptions[*mipv6.FlowIdentification](m))
		}
		c.left(now, ct, said)
	case bindings.Resynced:
		for _, a := range c.list.Poll(now) {
			c.listed(now, a)
		}
	case bindings.Refused:
		c.failed(now, ct, fmt.Errorf("refused, status %d: %v", out.Status, out.Status))
	}
	return true
}

// settle takes the home agent's word on the flows of an update.
func (c *core) settle(now time.Time, ct *contact, said content, results []*mipv6.FlowIdentification) {
	for _, r := range results {
		if r.Status == mipv6.FlowUnknown && slices.Contains(said.kept, r.ID) {
			// It has forgotten them: it was restarted. All are told anew.
			for _, id := range said.kept {
				if f := ct.byID[id]; f != nil && f.bound {
					c.unbound(ct, f)
				}
			}
			break
		}
	}
	for _, id := range slices.Sorted(maps.Keys(said.added)) {
		f := ct.byID[id]
		if f == nil || f.priority != said.added[id] || f.bound {
			continue // it went on meanwhile
		}
		i := slices.IndexFunc(results, func(r *mipv6.FlowIdentification) bool { return r.ID == id })
		switch {
		case i >= 0 && results[i].Status.Accepted():
			f.bound = true
			c.counters[CounterBound]++
			c.do(boundAction{f.conn, true})
		case i >= 0 && results[i].Status == mipv6.FlowAdministrativelyProhibited && f.taken < otherNumbers:
			f.taken++
			ct.rename(f)
		default:
			c.counters[CounterRefused]++
			f.notBefore = now.Add(declined)
		}
	}
}

// left makes due what the home agent has not been told, or found no room, or was
// refused.
func (c *core) left(now time.Time, ct *contact, said content) {
	for id := range said.added {
		if ct.byID[id] == nil {
			c.tell(ct, now) // gone since
		}
	}
	for _, id := range said.kept {
		if ct.byID[id] == nil {
			c.tell(ct, now)
		}
	}
	for _, f := range ct.byID {
		if !f.bound {
			c.tell(ct, later(now, f.notBefore))
		}
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// unbound notes that the home agent does not have a flow binding.
func (c *core) unbound(ct *contact, f *flow) {
	f.bound = false
	c.do(boundAction{f.conn, false})
}

// lost notes that the home agent has nothing of ours.
func (c *core) lost(ct *contact) {
	ct.registered = false
	for _, f := range ct.sorted() {
		if f.bound {
			c.unbound(ct, f)
		}
	}
}

// failed ends an exchange that came to nothing: what is bound may be or not, and
// so the connections are relayed, and it is tried again after a while.
func (c *core) failed(now time.Time, ct *contact, err error) {
	ct.said = nil
	c.counters[CounterFailed]++
	if ct.closing {
		c.forget(ct)
		return
	}
	if ct.failures == 0 { // once, not for as long as it goes on
		c.do(logAction{slog.LevelWarn, "no flow bindings at the home agent", []any{"contact", ct.Address, "home_agent", ct.HomeAgent, "err", err}})
	}
	ct.able = false
	c.lost(ct)
	if len(ct.byConn) > 0 {
		ct.due = now.Add(min(askAgain<<min(ct.failures, 16), longest))
	}
	ct.failures++
}

// close takes the registration back; closedAction says that it is over.
func (c *core) close(now time.Time, home netip.Addr) {
	ct := c.contacts[home]
	if ct == nil || ct.closing {
		c.do(closedAction{home})
		return
	}
	ct.closing = true
	c.lostQuietly(ct)
	if u, known := c.list.Get(ct.target()); !known || u.State == bindings.Idle {
		c.forget(ct)
		return
	}
	c.exchange(now, ct, 0)
}

// lostQuietly forgets all flows of a contact address that goes.
func (c *core) lostQuietly(ct *contact) { ct.table = newTable(c.careOf) }

// forget ends a contact address.
func (c *core) forget(ct *contact) {
	c.list.Forget(ct.target())
	delete(c.contacts, ct.Address)
	c.do(closedAction{ct.Address})
}

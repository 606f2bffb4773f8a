package anycast

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/bindings"
)

// The home registration (RFC 6275 §11.7.1): who holds it is the contact node.

// passive adds a contact address.
func (c *core) passive(ct Contact) error {
	if _, ok := c.contacts[ct.Address]; ok {
		return &OpError{"passive", ct.Address, netip.Addr{}, ErrExists}
	}
	x := &contact{Contact: ct}
	for _, a := range ct.ContactNodes {
		if a != c.cfg.careOf {
			x.contactNode = a
			break
		}
	}
	c.contacts[ct.Address] = x
	return nil
}

func (ct *contact) target() bindings.Target {
	return bindings.Target{Home: ct.Address, Peer: ct.HomeAgent}
}

// activate registers the contact address here (Address.Active). With a number it
// is only registered if nobody has since that one (Address.Succeed).
func (c *core) activate(now time.Time, id opID, home netip.Addr, last *uint16) {
	p := pair{Home: home}
	ct := c.contacts[home]
	switch {
	case ct == nil || ct.closing:
		c.reply(id, "active", p, ErrClosed)
		return
	case ct.active:
		c.reply(id, "active", p, nil)
		return
	case ct.wanted:
		c.reply(id, "active", p, ErrBusy)
		return
	}
	c.begin(id, "active", p)
	ct.wanted, ct.waiter = true, id
	resyncs := registerResyncs
	if last != nil {
		resyncs = 0
		if err := c.list.Learn(ct.target(), *last); err != nil {
			c.registered(now, ct, err)
			return
		}
	}
	c.register(now, ct, bindings.Params{
		Lifetime: ct.HomeLifetime, FirstTimeout: mipv6.InitialBindackTimeoutFirstReg,
		Tries: registerTries, Resyncs: resyncs,
	})
}

// confirm registers once more where we are contact node already: the home agent
// says whether we still are (Address.Confirm).
func (c *core) confirm(now time.Time, id opID, home netip.Addr) {
	p := pair{Home: home}
	ct := c.contacts[home]
	u, busy := bindings.Update{}, false
	if ct != nil {
		u, _ = c.list.Get(ct.target())
		busy = u.Outstanding || ct.waiter != 0
	}
	switch {
	case ct == nil || ct.closing:
		c.reply(id, "confirm", p, ErrClosed)
	case !ct.active:
		c.reply(id, "confirm", p, ErrNotContactNode)
	case busy:
		c.reply(id, "confirm", p, ErrBusy) // the refresh under way asks the same
	default:
		c.begin(id, "confirm", p)
		ct.waiter = id
		c.register(now, ct, bindings.Params{Lifetime: ct.HomeLifetime, Tries: confirmTries})
	}
}

// register begins an exchange with the home agent.
func (c *core) register(now time.Time, ct *contact, p bindings.Params) {
	p.CareOf, p.HomeRegistration = c.cfg.careOf, true
	t := ct.target()
	if _, known := c.list.Get(t); !known {
		if err := c.list.Learn(t, c.firstSequence()); err != nil {
			c.registered(now, ct, err)
			return
		}
	}
	if err := c.list.Begin(now, t, p); err != nil {
		c.registered(now, ct, err)
		return
	}
	c.pollList(now)
}

// transmitHome sends a Binding Update to the home agent: from the care-of
// address, with the home address in a Home Address option; the care-of address
// also where it is protected if the packet is (RFC 6275 §11.7.1).
func (c *core) transmitHome(ct *contact, a bindings.Action) {
	bu := &mipv6.BindingUpdate{Sequence: a.Sequence, Acknowledge: true, HomeRegistration: true, Lifetime: a.Lifetime}
	if a.Lifetime > 0 {
		bu.Options = append(bu.Options, &mipv6.AlternateCareOf{Addr: c.cfg.careOf})
	}
	bu.Options = append(bu.Options, c.identifier(ct)...)
	c.do(sendAction{src: c.cfg.careOf, dst: ct.HomeAgent, home: ct.Address, message: bu})
}

// homeAcknowledged takes the home agent's Binding Acknowledgement.
func (c *core) homeAcknowledged(now time.Time, ct *contact, m *mipv6.BindingAcknowledgement) bindings.OutcomeKind {
	out := c.list.Acknowledge(now, ct.target(), m)
	switch out.Kind {
	case bindings.Accepted:
		c.identified(ct, m)
		c.registered(now, ct, nil)
	case bindings.Resynced:
		c.pollList(now)
	case bindings.Refused:
		if out.Status == mipv6.StatusSequenceOutOfWindow {
			c.registered(now, ct, &SequenceError{ct.HomeAgent, out.Last})
		} else {
			c.registered(now, ct, &StatusError{ct.HomeAgent, out.Status})
		}
	}
	return out.Kind
}

// registered ends an exchange with the home agent, well or badly.
func (c *core) registered(now time.Time, ct *contact, err error) {
	id, was := ct.waiter, ct.active
	ct.waiter, ct.retry = 0, time.Time{}
	var overtaken *SequenceError
	switch {
	case ct.closing:
		// Deregistered; or another replica registered in the meantime, and may have
		// left since, and then there is nothing of ours to delete.
		var refused *StatusError
		if errors.As(err, &overtaken) || errors.As(err, &refused) && refused.Status == mipv6.StatusNotHomeAgent {
			err = nil
		}
		ct.active, ct.wanted = false, false
	case err == nil:
		ct.active = true
		if u, ok := c.list.Get(ct.target()); ok {
			ct.epoch = &u.Sequence
		}
		if !was {
			ct.contactNode = c.cfg.careOf
			c.log(slog.LevelInfo, "contact node", "contact", ct.Address, "home_agent", ct.HomeAgent)
		}
	case was && errors.As(err, &overtaken):
		c.log(slog.LevelWarn, "another replica is contact node now", "contact", ct.Address, "last", overtaken.Last)
		ct.epoch = &overtaken.Last
		c.demote(ct)
	case was:
		ct.retry = now.Add(registerRetry)
		c.log(slog.LevelError, "home registration not refreshed", "contact", ct.Address, "home_agent", ct.HomeAgent, "err", err)
	default:
		ct.wanted = false
	}
	c.finish(id, err)
}

// demote makes a contact node a replica like others again. Who took its place
// is found among the contact nodes when it is needed.
func (c *core) demote(ct *contact) {
	ct.active, ct.wanted = false, false
	ct.contactNode = netip.Addr{}
	u, ok := c.list.Get(ct.target())
	c.list.Forget(ct.target())
	if ok {
		_ = c.list.Learn(ct.target(), u.Sequence) // there is room: it was there just now
	}
}

// announced: another replica has registered with the number epoch, and says so.
// The home agent believes the last one that registered, so if its number is later
// than ours we are contact node no more. False: its number is not, or not later
// than the last of another whom we know.
func (c *core) announced(home, node netip.Addr, epoch uint16) bool {
	ct := c.contacts[home]
	if ct == nil || ct.closing {
		return false
	}
	if ct.epoch != nil && (ct.active || node != ct.contactNode) && !bindings.After(epoch, *ct.epoch) {
		return false
	}
	if ct.active {
		c.log(slog.LevelInfo, "another replica is contact node now", "contact", home, "node", node, "epoch", epoch)
		c.demote(ct)
	}
	ct.contactNode, ct.epoch = node, &epoch
	return true
}

// refreshHome keeps the registration alive, also after it lapsed: a home agent
// that was away must find us again (RFC 6275 §11.8 lets us go on for ever).
func (c *core) refreshHome(now time.Time, ct *contact) {
	ct.retry = time.Time{}
	if ct.wanted && !ct.closing && ct.waiter == 0 {
		c.register(now, ct, bindings.Params{Lifetime: ct.HomeLifetime, Tries: refreshTries})
	}
}

// deregister deletes the home registration, if it is ours (Address.Close).
func (c *core) deregister(now time.Time, id opID, home netip.Addr) {
	p := pair{Home: home}
	ct := c.contacts[home]
	if ct == nil || !ct.wanted {
		if ct != nil {
			ct.closing = true
		}
		c.reply(id, "close", p, nil)
		return
	}
	c.finish(ct.waiter, ErrClosed)
	c.begin(id, "close", p)
	ct.closing, ct.waiter = true, id
	c.register(now, ct, bindings.Params{Tries: registerTries})
}

// cancelRegistration: the context of Active or Close has ended.
func (c *core) cancelRegistration(now time.Time, home netip.Addr, id opID, cause error) {
	ct := c.contacts[home]
	if ct == nil || ct.waiter != id {
		c.finish(id, cause)
		return
	}
	c.list.Abort(ct.target())
	c.registered(now, ct, fmt.Errorf("waiting for the home agent %v: %w", ct.HomeAgent, cause))
}

// remove forgets a contact address with all its clients.
func (c *core) remove(now time.Time, home netip.Addr) {
	ct := c.contacts[home]
	if ct == nil {
		return
	}
	for _, cl := range c.sortedClients(home) {
		c.endOp(now, cl, ErrClosed)
		for _, w := range cl.waiters {
			if w.relayed {
				c.relay.Cancel(w.asker, cl.pair)
			}
			c.finish(w.id, ErrClosed)
		}
		cl.waiters, cl.held, cl.guarded, cl.early = nil, false, time.Time{}, false
		c.list.Forget(target(cl.pair))
		c.sync(cl)
		delete(c.clients, cl.pair)
	}
	c.finish(ct.waiter, ErrClosed)
	c.list.Forget(ct.target())
	delete(c.contacts, home)
}

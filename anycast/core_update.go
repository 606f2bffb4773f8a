package anycast

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/bindings"
	"github.com/vanycast/vanycast/mipv6/rr"
)

// update begins the exchange of Binding Update and Acknowledgement.
func (c *core) update(now time.Time, cl *client) {
	o := cl.op
	o.sent = 0
	if _, known := c.list.Get(target(cl.pair)); !known {
		last := c.firstSequence()
		if first := o.params.Sequence; first != nil {
			last = *first - 1
		}
		if err := c.list.Learn(target(cl.pair), last); err != nil {
			c.endOp(now, cl, fmt.Errorf("%w: %w", ErrTableFull, err))
			return
		}
	}
	if err := c.list.Begin(now, target(cl.pair), o.params); err != nil {
		c.endOp(now, cl, err)
		return
	}
	c.pollList(now)
}

// transmit makes the Binding Update that the list wants sent to a client.
func (c *core) transmit(cl *client, a bindings.Action) {
	o := cl.op
	if o == nil {
		return
	}
	o.sent++
	o.told = true
	if o.kind == opReclaim && o.reclaim != reclaimRead {
		cl.taken = taken{mark: o.mark, last: a.Sequence, valid: true}
	}
	bu := &mipv6.BindingUpdate{Sequence: a.Sequence, Acknowledge: true, Lifetime: a.Lifetime}
	key := o.keys.Kbm()
	if a.Lifetime == 0 {
		// A deletion needs the home token only. Naming the home address as
		// care-of address says the same in another way (RFC 6275 §9.5.1), and
		// leaves no doubt which address the authenticator covers (§6.2.7).
		key = o.keys.KbmDelete()
		bu.Options = append(bu.Options, &mipv6.AlternateCareOf{Addr: cl.Home},
			&mipv6.NonceIndices{Home: o.keys.Home.NonceIndex})
	} else {
		bu.Options = append(bu.Options, o.keys.NonceIndices())
	}
	c.do(sendAction{
		src: c.cfg.careOf, dst: cl.Client, home: cl.Home, message: bu,
		key: &key, covered: covered(c.cfg.careOf, cl.Home, a.Lifetime), op: o.id,
	})
}

// acknowledged takes a Binding Acknowledgement of a client, found authentic.
func (c *core) acknowledged(now time.Time, cl *client, m *mipv6.BindingAcknowledgement) bindings.OutcomeKind {
	o := cl.op
	out := c.list.Acknowledge(now, target(cl.pair), m)
	switch out.Kind {
	case bindings.Accepted:
		cl.proven = true
		c.endOp(now, cl, nil)
	case bindings.Resynced:
		c.pollList(now)
	case bindings.Refused:
		switch {
		case out.Status == mipv6.StatusSequenceOutOfWindow && o.kind == opReclaim:
			c.reclaimRefused(now, cl, out.Last)
		case out.Status == mipv6.StatusSequenceOutOfWindow:
			c.overtaken(now, cl, out.Last)
		case expiredNonce(out.Status) && !o.redone:
			o.redone = true
			c.forgetTokens(cl, out.Status)
			c.tests(now, cl)
		default:
			c.endOp(now, cl, &StatusError{cl.Client, out.Status})
		}
	}
	return out.Kind
}

// overtaken: another replica has told the client in the meantime.
func (c *core) overtaken(now time.Time, cl *client, last uint16) {
	err := &SequenceError{cl.Client, last}
	c.disown(cl) // a binding that we thought we had is gone, too
	if cl.op.kind == opRefresh {
		c.log(slog.LevelWarn, "client is bound to another replica", "contact", cl.Home, "client", cl.Client, "last", last)
	}
	c.endOp(now, cl, err)
}

// disown forgets the binding but not the number.
func (c *core) disown(cl *client) {
	u, ok := c.list.Get(target(cl.pair))
	c.list.Forget(target(cl.pair))
	if ok {
		_ = c.list.Learn(target(cl.pair), u.Sequence) // there is room: it was there just now
	}
}

func expiredNonce(s mipv6.Status) bool {
	return s >= mipv6.StatusExpiredHomeNonce && s <= mipv6.StatusExpiredNonces
}

// forgetTokens drops what the correspondent no longer recognises (RFC 6275
// §11.7.3 asks for that part of return routability again).
func (c *core) forgetTokens(cl *client, s mipv6.Status) {
	if s != mipv6.StatusExpiredCareOfNonce {
		cl.home = rr.HomeToken{}
	}
	if s != mipv6.StatusExpiredHomeNonce {
		cl.careOf = rr.CareOfToken{}
	}
}

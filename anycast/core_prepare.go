package anycast

import (
	"fmt"
	"time"

	"github.com/vanycast/vanycast/mipv6"
)

// prepareMemory is for how long what Prepare learnt is kept of a client that does
// not come: a token is of no use any more then.
const prepareMemory = mipv6.MaxTokenLifetime

// preview is what a mark would say now. It changes nothing: the donor goes on as
// before.
func (c *core) preview(now time.Time, p pair) Mark {
	var m Mark
	if u, ok := c.list.Get(target(p)); ok {
		m.Sequence = u.Sequence
	}
	cl := c.clients[p]
	if cl == nil {
		return m
	}
	m.Bound = c.bound(cl)
	if cl.home.Fresh(now) {
		aged := cl.home.Aged(now)
		m.HomeToken = &aged
	}
	return m
}

// prepare does return routability for a client that may be handed here
// (Address.Prepare). Of all operations it matters least: another one that is
// under way gets tokens as well, and Start would take its place.
func (c *core) prepare(now time.Time, id opID, p pair, m Mark) {
	cl, err := c.client(now, p)
	if err != nil {
		c.reply(id, opPrepare.String(), p, fmt.Errorf("%w (%w)", err, ErrUntouched))
		return
	}
	c.learn(now, cl, m)
	if cl.op != nil && cl.op.kind != opPrepare {
		c.reply(id, opPrepare.String(), p, nil)
		return
	}
	if cl.forget.IsZero() {
		c.forgetting = append(c.forgetting, forgetting{cl, now.Add(prepareMemory)})
	}
	cl.forget = now.Add(prepareMemory)
	c.startOp(now, p, &op{id: id, kind: opPrepare, params: c.bindParams(p.Home)})
}

// forgetting is a client that was prepared for, and when to look whether it came.
type forgetting struct {
	*client
	at time.Time
}

// forgetPrepared drops those that were prepared for in vain. Each is in the list
// once, which is in the order of time.
func (c *core) forgetPrepared(now time.Time) {
	for len(c.forgetting) > 0 && !now.Before(c.forgetting[0].at) {
		cl := c.forgetting[0].client
		c.forgetting = c.forgetting[1:]
		switch {
		case c.clients[cl.pair] != cl: // forgotten for another reason
		case now.Before(cl.forget): // prepared for again meanwhile
			c.forgetting = append(c.forgetting, forgetting{cl, now.Add(prepareMemory)})
		default:
			cl.forget = time.Time{}
			c.drop(now, cl)
		}
	}
}

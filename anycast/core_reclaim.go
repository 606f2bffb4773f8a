package anycast

import (
	"time"
)

// reclaimStep is how far a Reclaim is.
//
// Reclaim asks the client's own binding cache who owns it, after the acceptor's
// acknowledgement was lost. A binding cache is a register that takes a number
// only if it is greater than the last (RFC 6275 §9.5.1), and tells the last if
// not; with it two replicas can agree although neither hears the other:
//
//  1. Read: an update with the number of the mark itself. It cannot be accepted
//     by a cache that has the donor's binding; status 135 tells the last number.
//     Any other than the mark's: the acceptor was there.
//  2. Take: an update with the number after it, the very number that the
//     acceptor begins with. Only one of two can be accepted with it.
//
// Where an update is accepted the client is ours; in Read that means that it had
// no binding at all.
//
// Both keep their number when they are retransmitted. RFC 6275 §11.8 wants a
// greater number in a retransmission, but a greater one would be accepted after
// the acceptor's, and two replicas would think the client theirs. When the answer
// to Take is lost, the retransmission is refused for a number that must be our
// own: Read saw that the acceptor had not been there, and by the time of a
// Reclaim the acceptor has given up. The same holds for a Reclaim that ended
// without an answer, when the next one's Read is told a number that was taken
// then: what was sent is remembered with the client.
type reclaimStep uint8

const (
	reclaimRead reclaimStep = iota
	reclaimTake
	reclaimConfirm
)

// reclaim begins it (Address.Reclaim).
func (c *core) reclaim(now time.Time, id opID, p pair, m Mark) {
	cl, err := c.client(now, p)
	if err != nil {
		c.reply(id, opReclaim.String(), p, err)
		return
	}
	c.learn(now, cl, m)
	o := &op{id: id, kind: opReclaim, params: c.bindParams(p.Home), mark: m.Sequence}
	o.step(reclaimRead, m.Sequence, true)
	c.startOp(now, p, o)
}

// taken are the numbers that Reclaims for one mark have used after their Read saw
// that nobody had been there: first to last, both included.
type taken struct {
	mark  uint16
	last  uint16
	valid bool
}

// has reports whether n is one of them, for the same mark.
func (t taken) has(mark, n uint16) bool {
	return t.valid && t.mark == mark && n != mark && n-mark <= t.last-mark
}

// step sets the parameters of the next update.
func (o *op) step(s reclaimStep, number uint16, same bool) {
	o.reclaim = s
	o.params.Sequence, o.params.SameSequence = &number, same
}

// reclaimRefused is status 135 with the client's last number.
func (c *core) reclaimRefused(now time.Time, cl *client, last uint16) {
	o := cl.op
	switch {
	case o.reclaim == reclaimRead && last == o.mark:
		o.step(reclaimTake, o.mark+1, true)
		c.update(now, cl)
	case o.reclaim == reclaimTake && last == o.mark+1 && o.sent > 1,
		o.reclaim == reclaimRead && cl.taken.has(o.mark, last):
		// Our own try, whose answer was lost. An ordinary update makes lifetime
		// and number certain again.
		o.step(reclaimConfirm, last+1, false)
		c.update(now, cl)
	default:
		c.overtaken(now, cl, last)
	}
}

package election

import "net/netip"

// Info is what an operator sees.
type Info struct {
	Node  netip.Addr // who is contact node, as far as known
	Self  bool       // it is this replica
	Epoch uint16     // the number of its registration, if Known
	Known bool
	Rank  int // of this replica among the candidates, 1 the best; 0: it is none
	// Lives: the other replica that is contact node answers.
	Lives bool
	// Lost are the candidates that do not answer. Only candidates know.
	Lost []netip.Addr
}

// Info says who is contact node.
func (e *Elector) Info() Info {
	e.mu.Lock()
	defer e.mu.Unlock()
	c := e.core
	i := Info{Node: c.node, Self: c.active, Epoch: c.epoch, Known: c.known, Rank: c.rank + 1, Lives: c.nodeLives()}
	for _, m := range c.members {
		if c.rank >= 0 && m.rank >= 0 && !m.up {
			i.Lost = append(i.Lost, m.addr)
		}
	}
	return i
}

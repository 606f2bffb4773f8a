package tcbpf

import (
	"net/netip"

	"github.com/vanycast/vanycast/mipv6/dataplane"
)

// kept holds packets of flows until their route says where they go. It does no
// I/O: see keeper. There are two kinds of queues: of flows that were declared to
// keep, and of undecided ones, which a SYN began.
type kept struct {
	limits          KeepLimits
	queues          map[stream]*queue
	oldest, newest  *keptPacket // of all, in the order of their arrival
	packets, bytes  int
	undecided       int
	dropped         uint64
	firstUndecided  *queue // the oldest
	latestUndecided *queue
}

// stream is one direction of a flow: what comes for the contact address, or what
// whoever serves the flow sends.
type stream struct {
	dataplane.Flow
	sent bool
}

func coming(f dataplane.Flow) stream { return stream{f, false} }
func sent(f dataplane.Flow) stream   { return stream{f, true} }

type queue struct {
	stream         stream
	oldest, newest *keptPacket
	packets, bytes int
	undecided      bool
	age            int // in rounds of expire
	previous, next *queue
}

// keptPacket is a packet as the TUN interface gave it, offload header first.
type keptPacket struct {
	data           []byte
	queue          *queue
	previous, next *keptPacket // of all
	behind         *keptPacket // in its queue
}

func newKept(l KeepLimits) *kept {
	return &kept{limits: l, queues: map[stream]*queue{}}
}

// hold makes a queue for a stream, or makes one that is undecided its own.
func (k *kept) hold(s stream) {
	q, ok := k.queues[s]
	if !ok {
		k.queues[s] = &queue{stream: s}
	} else if q.undecided {
		k.decide(q)
	}
}

// wait makes a queue for a flow whose SYN came; false if there are too many.
func (k *kept) wait(f dataplane.Flow) bool {
	if k.undecided >= k.limits.Undecided {
		return false
	}
	q := &queue{stream: coming(f), undecided: true, previous: k.latestUndecided}
	if q.previous != nil {
		q.previous.next = q
	} else {
		k.firstUndecided = q
	}
	k.latestUndecided = q
	k.undecided++
	k.queues[q.stream] = q
	return true
}

// decide takes the queue from among the undecided ones.
func (k *kept) decide(q *queue) {
	if q.previous != nil {
		q.previous.next = q.next
	} else {
		k.firstUndecided = q.next
	}
	if q.next != nil {
		q.next.previous = q.previous
	} else {
		k.latestUndecided = q.previous
	}
	q.previous, q.next, q.undecided = nil, nil, false
	k.undecided--
}

// add puts a copy of the packet behind those of its queue. Where that is too
// much, the oldest are given up: the queue's, then anybody's.
func (k *kept) add(q *queue, data []byte) {
	p := &keptPacket{data: append([]byte(nil), data...), queue: q, previous: k.newest}
	if p.previous != nil {
		p.previous.next = p
	} else {
		k.oldest = p
	}
	k.newest = p
	if q.newest != nil {
		q.newest.behind = p
	} else {
		q.oldest = p
	}
	q.newest = p
	q.packets++
	q.bytes += len(data)
	k.packets++
	k.bytes += len(data)
	for q.packets > k.limits.FlowPackets || q.bytes > k.limits.FlowBytes {
		k.pop(q)
		k.dropped++
	}
	for k.packets > k.limits.Packets || k.bytes > k.limits.Bytes {
		k.pop(k.oldest.queue) // the oldest of all is the oldest of its queue
		k.dropped++
	}
}

// pop takes the oldest packet of a queue; nil if it has none.
func (k *kept) pop(q *queue) []byte {
	p := q.oldest
	if p == nil {
		return nil
	}
	if q.oldest = p.behind; q.oldest == nil {
		q.newest = nil
	}
	if p.previous != nil {
		p.previous.next = p.next
	} else {
		k.oldest = p.next
	}
	if p.next != nil {
		p.next.previous = p.previous
	} else {
		k.newest = p.previous
	}
	q.packets--
	q.bytes -= len(p.data)
	k.packets--
	k.bytes -= len(p.data)
	return p.data
}

// popAll takes all.
func (k *kept) popAll(q *queue) [][]byte {
	var all [][]byte
	for b := k.pop(q); b != nil; b = k.pop(q) {
		all = append(all, b)
	}
	return all
}

// end forgets a queue; packets that are still in it are given up.
func (k *kept) end(q *queue) {
	for k.pop(q) != nil {
		k.dropped++
	}
	if q.undecided {
		k.decide(q)
	}
	delete(k.queues, q.stream)
}

// expire ends queues that stayed undecided for some rounds: whoever should have
// decided will be asked again when the SYN is sent again.
func (k *kept) expire(rounds int) {
	for q := k.firstUndecided; q != nil; {
		next := q.next
		if q.age++; q.age > rounds {
			k.end(q)
		}
		q = next
	}
}

// endAll forgets every queue of a contact address.
func (k *kept) endAll(home netip.Addr) {
	for s, q := range k.queues {
		if s.Home == home {
			k.end(q)
		}
	}
}

// find is the queue that a packet of this stream belongs into: its connection's,
// else its client's.
func (k *kept) find(s stream) *queue {
	if q, ok := k.queues[s]; ok {
		return q
	}
	return k.queues[stream{s.ClientFlow(), s.sent}]
}

// findPacket is the queue of a packet: that of what comes for its destination, or of
// what its source sent. ok is false for what is no packet.
func (k *kept) findPacket(packet []byte) (q *queue, ok bool) {
	f, ok := flowOf(packet)
	if !ok {
		return nil, false
	}
	if q := k.find(coming(f)); q != nil {
		return q, true
	}
	return k.find(sent(outgoingFlowOf(packet))), true
}

package framework

import "time"

// Some paths drop packets with extension headers (RFC 9098): a client on such a one
// binds, for Mobility Headers get through, and then neither its segments nor ours
// do. Its TCP is the only witness: it makes no progress. progress judges by what the
// kernel says of the connection, from the moment at which its packets have begun to
// go straight until it is clear whether they arrive.

// tcpView is what the kernel says of a connection, all since it was made here.
type tcpView struct {
	acked       uint64 // bytes that the client acknowledged
	outstanding uint64 // bytes sent and not yet acknowledged
	received    uint64 // bytes received in order
	segments    uint32 // segments with data that came, new or not
	timeouts    uint8  // of the retransmission timer since the last acknowledgement
}

// verdict is what is known of the path.
type verdict uint8

const (
	pathUnknown verdict = iota
	pathOpen            // segments arrive, both ways
	pathBlocked         // they do not
)

const (
	// blockedTimeouts and blockedAfter: so many timeouts of the retransmission timer
	// in a row, and so long without progress, say that nothing gets through. At 5 %
	// loss two timeouts are one in ten thousand; taken for a block they cost the client
	// its short cut, no more.
	blockedTimeouts = 2
	blockedAfter    = time.Second
	// blockedRepeats: the client sent so many segments that bring nothing new, for
	// blockedRepeating: it does not hear our acknowledgements. One lost segment
	// brings many behind it, but not for so long.
	blockedRepeats   = 3
	blockedRepeating = 1500 * time.Millisecond
	// openReceiving: a client that sends new data for so long, and nothing twice, hears
	// us.
	openReceiving = 2 * time.Second
)

// Pauses between two looks at a connection: while something is under way on it, and
// the longest while it is idle.
const (
	lookSoon  = 100 * time.Millisecond
	lookLater = 2 * time.Second
)

// progress is the state of the judgement; it begins with the first look.
type progress struct {
	began    bool
	goal     uint64    // an acknowledgement beyond this is of what went the new way
	last     tcpView   // of the look before
	moved    time.Time // when the last progress was seen, or the first look
	growing  time.Time // since when new data has come, without repeats
	repeats  uint32    // segments that brought nothing new, since then
	repeated time.Time // when the first of them was seen
	pause    time.Duration
	next     time.Time // the next look
}

// look judges by one more view.
func (p *progress) look(now time.Time, v tcpView) verdict {
	if !p.began {
		*p = progress{began: true, goal: v.acked + v.outstanding, last: v, moved: now}
		p.again(now, true)
		return pathUnknown
	}
	was := p.last
	p.last = v
	switch {
	case v.acked > p.goal:
		return pathOpen
	case v.acked != was.acked:
		p.moved = now
	}
	p.receiving(now, v, was)
	switch {
	case !p.growing.IsZero() && v.received != was.received && now.Sub(p.growing) >= openReceiving:
		return pathOpen
	case v.timeouts >= blockedTimeouts && v.outstanding > 0 && now.Sub(p.moved) >= blockedAfter:
		return pathBlocked
	case p.repeats >= blockedRepeats && now.Sub(p.repeated) >= blockedRepeating:
		return pathBlocked
	}
	p.again(now, v != was || v.outstanding > 0)
	return pathUnknown
}

// receiving follows what the client sends.
func (p *progress) receiving(now time.Time, v, was tcpView) {
	switch {
	case v.received != was.received:
		if p.growing.IsZero() {
			p.growing = now
		}
		p.repeats = 0
	case v.segments != was.segments:
		if p.repeats == 0 {
			p.repeated = now
		}
		p.repeats += v.segments - was.segments
		p.growing = time.Time{}
	}
}

// again sets the time of the next look.
func (p *progress) again(now time.Time, active bool) {
	if active {
		p.pause = lookSoon
	} else {
		p.pause = min(2*p.pause, lookLater)
	}
	p.next = now.Add(p.pause)
}

package anycast

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/relay"
)

// crowd is a client with several connections that are handed off all the time, as
// package handoff does it in seamless mode, and what would become of its packets.
type crowd struct {
	*lab
	rand     *rand.Rand
	patience time.Duration // how long a connection may stand still

	lock  sync.Mutex
	conns map[relay.Conn]*traveller
	whole map[netip.Addr]bool // a donor gives the whole client away
	count struct{ moved, busy, refused, begun, late, unheard int }
}

// traveller is one connection.
type traveller struct {
	at     netip.Addr
	moving bool
	closed time.Time // when it has sent all after it was closed, zero: it is open
	frozen bool
	reset  bool                     // and said so
	ends   map[netip.Addr]time.Time // where an endpoint swallows late segments, and until when
	good   time.Time                // when packets passed both ways last
}

// buried is for how long a donor keeps its frozen endpoint (handoff.Timing).
const buried = 60 * time.Second

func (w *crowd) now(f func()) {
	w.lock.Lock()
	defer w.lock.Unlock()
	f()
}

// pick is a random number below n.
func (w *crowd) pick(n int) (i int) {
	w.now(func() { i = w.rand.IntN(n) })
	return i
}

func (w *crowd) pause(most time.Duration) { time.Sleep(time.Duration(w.pick(int(most)))) }

// reserve is the agent's lock; false: busy.
func (w *crowd) reserve(from netip.Addr, c relay.Conn, whole bool) (ok bool) {
	w.now(func() {
		if ok = !w.whole[from]; ok && whole {
			w.whole[from] = true
		}
	})
	return ok
}

// handOff moves a connection as the two agents do.
func (w *crowd) handOff(c relay.Conn, to netip.Addr) {
	w.lock.Lock()
	tr := w.conns[c]
	from := tr.at
	if tr.moving || !tr.closed.IsZero() || from == to {
		w.lock.Unlock()
		return
	}
	tr.moving = true
	w.lock.Unlock()
	err := w.try(c, tr, from, to)
	w.now(func() {
		tr.moving = false
		switch {
		case err == nil:
			w.count.moved++
		case errors.Is(err, ErrBusy):
			w.count.busy++
		default:
			w.count.refused++
			w.t.Logf("%v: port %d from %v to %v: %v", time.Now(), c.Client.Port(), from, to, err)
		}
	})
	if err == nil && len(w.replicas[from].connections(contactAddr)) == 0 {
		w.replicas[from].addr.Vacated(modern)
	}
}

func (w *crowd) try(c relay.Conn, tr *traveller, from, to netip.Addr) error {
	d, a := w.replicas[from].addr.Connection(c.Contact, c.Client), w.replicas[to].addr.Connection(c.Contact, c.Client)
	ctx, cancel := context.WithTimeout(w.ctx, 8*time.Second)
	defer cancel()
	if err := d.Begin(ctx); err != nil {
		return err
	}
	defer d.End()
	whole := !d.Settle()
	if !w.reserve(from, c, whole) {
		return ErrBusy
	}
	if whole {
		defer w.now(func() { delete(w.whole, from) })
	}
	w.pause(2 * time.Millisecond)
	if err := a.Prepare(ctx, d.Preview()); err != nil {
		return err
	}
	time.Sleep(time.Until(a.Ready()))
	seamless := true
	if err := a.Expect(from, false); err != nil {
		w.t.Logf("%v: not seamless: %v", time.Now(), err)
		seamless = false
	}
	w.pause(2 * time.Millisecond)
	if seamless {
		must(w.t, d.Divert(to))
	}
	w.now(func() { tr.frozen = true })
	thaw := func(err error) error {
		if seamless {
			must(w.t, d.Undo())
		}
		w.now(func() { tr.frozen = false })
		return err
	}
	m, err := d.Mark()
	if err != nil {
		return thaw(err)
	}
	w.pause(2 * time.Millisecond)
	if seamless {
		must(w.t, a.Expect(from, true))
	} else {
		must(w.t, a.Undo())
	}
	again := false
	w.now(func() { again = time.Now().Before(tr.ends[to]) })
	if again { // its old endpoint makes room
		must(w.t, a.Hold())
		must(w.t, a.Unhold())
	}
	arrive := func() {
		w.now(func() {
			tr.ends[from] = time.Now().Add(buried)
			tr.at, tr.frozen = to, false
			w.replicas[to].join(c)
		})
	}
	if seamless && a.CanSpeak(m) {
		must(w.t, a.Through(from))
		arrive()
		if err = a.Start(ctx, from, m); err == nil {
			must(w.t, a.Open(from))
		} else if overtaken := new(SequenceError); errors.As(err, &overtaken) {
			w.t.Errorf("%v from %v to %v: both have it: %v", c, from, to, err)
		} else {
			w.t.Logf("not registered: %v", err)
		}
	} else {
		if err := a.Start(ctx, from, m); err != nil {
			a.Finish()
			must(w.t, a.Undo())
			w.pause(2 * time.Millisecond)
			_ = thaw(nil)
			if !errors.Is(err, ErrUntouched) {
				if whole {
					d.Finish()
				}
				if err := d.Bind(ctx); err != nil {
					w.t.Logf("not bound again: %v", err)
				}
			}
			return err
		}
		must(w.t, a.Open(from))
		arrive()
	}
	w.pause(2 * time.Millisecond)
	d.Finish()
	if seamless {
		d.Left()
	}
	w.replicas[from].leave(c)
	return nil
}

func (r *replica) join(c relay.Conn) { r.lives(append(r.connections(contactAddr), c)...) }

func (r *replica) leave(c relay.Conn) {
	var left []relay.Conn
	for _, o := range r.connections(contactAddr) {
		if o != c {
			left = append(left, o)
		}
	}
	r.lives(left...)
}

// over: nothing of it is to be sent any more.
func (tr *traveller) over() bool { return !tr.closed.IsZero() && time.Now().After(tr.closed) }

// end closes a connection where it is, which has a few seconds' worth to send.
func (w *crowd) end(c relay.Conn) {
	for {
		at, closed := netip.Addr{}, false
		w.now(func() {
			tr := w.conns[c]
			if at, closed = tr.at, !tr.moving; closed {
				tr.closed = time.Now().Add(8 * time.Second)
			}
		})
		if !closed {
			w.pause(time.Millisecond)
			continue
		}
		r := w.replicas[at]
		r.leave(c)
		others := len(r.connections(contactAddr)) > 0
		r.addr.Closed(c.Contact, c.Client, others)
		if !others {
			r.addr.Vacated(modern)
		}
		return
	}
}

// all are the connections that are not over.
func (w *crowd) all() (all []relay.Conn) {
	w.now(func() {
		for c, tr := range w.conns {
			if !tr.over() {
				all = append(all, c)
			}
		}
	})
	return all
}

// ceding tells whether the replica that the client is bound to is giving the binding
// away.
func (w *crowd) ceding() bool {
	r := w.replicas[w.boundTo()]
	if r == nil {
		return false
	}
	r.Node.mu.Lock()
	defer r.Node.mu.Unlock()
	_, busy := r.following[testPair]
	return busy
}

// begin has the client make a connection with whom it is bound to: the SYN, and what
// follows at once. It does nothing where the client has one only, which would take the
// binding along without it.
func (w *crowd) begin(c relay.Conn) (begun bool) {
	ceding := w.ceding()
	w.now(func() {
		at, open := w.boundTo(), 0
		for _, tr := range w.conns {
			if tr.closed.IsZero() {
				open++
			}
		}
		switch {
		case !at.IsValid() || open < 2 || len(w.whole) > 0:
		case w.routeAt(at, c).Kind == dataplane.Held: // the SYN is sent again
			w.count.unheard++
		default:
			w.replicas[at].join(c)
			w.conns[c] = &traveller{at: at, ends: make(map[netip.Addr]time.Time), good: time.Now()}
			if w.count.begun++; ceding {
				w.count.late++
			}
			begun = true
		}
	})
	return begun
}

// visit is a connection that comes in at a random moment, if it can while the binding
// is being ceded, is handed off or not, and ends.
func (w *crowd) visit(c relay.Conn, where []netip.Addr) {
	for patience := 100; patience > 0 && !w.ceding(); patience-- {
		time.Sleep(time.Millisecond)
	}
	w.pause(4 * time.Millisecond)
	if !w.begin(c) {
		return
	}
	for range w.pick(4) {
		w.pause(500 * time.Millisecond)
		w.handOff(c, where[w.pick(len(where))])
	}
	w.pause(time.Second)
	w.end(c)
}

// Connections of one client move at random, several at a time, and its binding
// after them. None is ever sent where nobody knows it, and none stops for long.
func TestSeveralAtRandom(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { severalAtRandom(t, seed, seed%2 == 1) })
	}
}

func severalAtRandom(t *testing.T, seed uint64, lossy bool) {
	w := &crowd{rand: rand.New(rand.NewPCG(seed, 1)), patience: 2 * time.Second, conns: make(map[relay.Conn]*traveller), whole: make(map[netip.Addr]bool)}
	slow := func(l *lab) { l.relaying, l.delay = true, func() { w.pause(3 * time.Millisecond) } }
	inLabWith(t, slow, func(t *testing.T, l *lab) {
		w.lab = l
		l.mustActive(l.replicas[glass])
		first := glass // the contact node: the client is not bound yet
		if seed%3 != 2 {
			first = reich
			must(t, l.replicas[reich].addr.Start(l.ctx, modern, glass, Mark{Sequence: 7}))
		}
		for port := range uint16(2 + seed/2%2) {
			c := modernConn(port + 1)
			w.conns[c] = &traveller{at: first, ends: make(map[netip.Addr]time.Time), good: time.Now()}
			l.replicas[first].join(c)
		}
		where := []netip.Addr{glass, reich, adams}
		if lossy { // then updates are sent again after 1 s, 2 s, 4 s
			w.patience = 10 * time.Second
			l.net.Filter(func(p *mipv6.Packet) bool { return w.pick(10) > 0 })
		}
		over, watched := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(watched)
			for {
				select {
				case <-over:
					return
				case <-time.After(4 * time.Millisecond):
					w.look()
				}
			}
		}()
		var movers sync.WaitGroup
		for _, c := range w.all() {
			movers.Go(func() {
				rounds := 60
				if c == modernConn(1) {
					rounds = 25
				}
				for range rounds {
					w.pause(120 * time.Millisecond)
					w.handOff(c, where[w.pick(3)])
				}
				if c == modernConn(1) {
					w.end(c)
				}
			})
		}
		movers.Go(func() {
			var visits sync.WaitGroup
			for port := range uint16(20) {
				w.pause(300 * time.Millisecond)
				visits.Go(func() { w.visit(modernConn(100+port), where) })
			}
			visits.Wait()
		})
		movers.Go(func() { // an operator, who moves all
			for range 30 {
				w.pause(300 * time.Millisecond)
				to := where[w.pick(3)]
				var all sync.WaitGroup
				for _, c := range w.all() {
					all.Go(func() { w.handOff(c, to) })
				}
				all.Wait()
			}
		})
		movers.Wait()
		time.Sleep(time.Minute)
		synctest.Wait()
		close(over)
		<-watched
		time.Sleep(2 * time.Minute) // until the closed ones do not count any more
		for c, tr := range w.conns {
			if in, out := w.incoming(c), w.outgoing(c); !tr.over() && (in != nil || out != nil) {
				t.Errorf("port %d at %v: %v, %v\n%s", c.Client.Port(), tr.at, in, out, w.state())
			}
		}
		if at := l.boundTo(); at.IsValid() && len(l.replicas[at].connections(contactAddr)) == 0 {
			t.Errorf("bound to %v, which has none of them\n%s", at, w.state())
		}
		t.Logf("%d moved, %d busy, %d refused; %d begun, %d of them while the binding was ceded, %d not heard",
			w.count.moved, w.count.busy, w.count.refused, w.count.begun, w.count.late, w.count.unheard)
		if w.count.moved < 10 {
			t.Errorf("only %d handoffs", w.count.moved)
		}
		for _, r := range l.replicas {
			r.lives()
		}
	})
}

package election

import (
	"cmp"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/vanycast/vanycast/anycast"
	"github.com/vanycast/vanycast/mipv6/bindings"
)

// The replicas of the tests. The first three may be contact node, in this order.
var (
	names    = []string{"glass", "reich", "adams", "moore"}
	homeName = "ha"
	homeKey  = bindings.Key{Home: contact}
	contact  = netip.MustParseAddr("2001:db8:9::1")
	short    = strings.NewReplacer("2001:db8:1::10", "glass", "2001:db8:2::10", "reich", "2001:db8:3::10", "adams",
		"2001:db8:4::10", "moore", contact.String(), "contact", " contact=contact", "")
)

func addressOf(name string) netip.Addr {
	return netip.MustParseAddr(fmt.Sprintf("2001:db8:%d::10", slices.Index(names, name)+1))
}

// delay is that of every link.
const delay = 10 * time.Millisecond

// world is a number of cores with the real home agent's rule between them, on
// virtual time.
type world struct {
	start time.Time
	now   time.Time
	queue []event
	nodes map[string]*node
	cuts  map[[2]string]bool
	rand  *rand.Rand

	home  *bindings.Cache
	moves []move // of the registration, in order
	out   []string
	quiet bool
}

type move struct {
	at time.Time
	to string
}

type event struct {
	at time.Time
	f  func()
}

// node is a replica; a restart makes a new one.
type node struct {
	w        *world
	name     string
	core     *core
	standing anycast.Standing
	sequence uint16 // of its last update to the home agent, if it has sent or learnt one
	numbered bool
	refresh  time.Time // of its registration
	dead     bool      // the process is gone
	hung     bool      // the host is
}

func newWorld(seed uint64) *world {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	return &world{
		start: start, now: start, nodes: map[string]*node{}, cuts: map[[2]string]bool{},
		rand: rand.New(rand.NewPCG(6275, seed)), home: bindings.NewCache(bindings.Config{}),
	}
}

func (w *world) print(format string, args ...any) {
	if !w.quiet {
		w.out = append(w.out, fmt.Sprintf("%6.2fs  ", w.now.Sub(w.start).Seconds())+short.Replace(fmt.Sprintf(format, args...)))
	}
}

func (w *world) after(d time.Duration, f func()) {
	w.queue = append(w.queue, event{w.now.Add(d), f})
}

// advance lets time pass.
func (w *world) advance(d time.Duration) {
	end := w.now.Add(d)
	for {
		i := -1
		for j, e := range w.queue {
			if !e.at.After(end) && (i < 0 || e.at.Before(w.queue[i].at)) {
				i = j
			}
		}
		if i < 0 {
			break
		}
		e := w.queue[i]
		w.queue = slices.Delete(w.queue, i, i+1)
		w.now = e.at
		e.f()
	}
	w.now = end
}

// run starts a replica, or starts it anew.
func (w *world) run(name string) {
	var candidates, replicas []netip.Addr
	for i, n := range names {
		replicas = append(replicas, addressOf(n))
		if i < 3 {
			candidates = append(candidates, addressOf(n))
		}
	}
	n := &node{w: w, name: name}
	n.core = newCore(Config{Contact: contact, Self: addressOf(name), Candidates: candidates, Replicas: replicas}, w.now)
	w.nodes[name] = n
	w.print("%s starts", name)
	var tick func()
	tick = func() {
		if w.nodes[name] == n && !n.dead && !n.hung {
			if n.standing.Self && !w.now.Before(n.refresh) {
				n.register(n.sequence+1, 0)
			}
			n.event(n.core.poll)
			w.after(n.core.t.Beat/ticks, tick)
		}
	}
	tick()
}

func (w *world) reaches(a, b string) bool { return !w.cuts[[2]string{min(a, b), max(a, b)}] }

func (w *world) cut(a, b string, cut bool) { w.cuts[[2]string{min(a, b), max(a, b)}] = cut }

// event is Elector.event.
func (n *node) event(f func(time.Time)) {
	if n.dead || n.hung {
		return
	}
	n.core.standing(n.w.now, n.standing)
	f(n.w.now)
	for _, a := range n.core.take() {
		switch a := a.(type) {
		case pingAction:
			n.ping(a)
		case succeedAction:
			resyncs := 0
			switch {
			case a.known && (!n.numbered || bindings.After(a.epoch, n.sequence)):
				n.sequence = a.epoch
			case !a.known:
				resyncs = 1
				if !n.numbered {
					n.sequence = uint16(n.w.rand.Uint32())
				}
			}
			n.numbered = true
			n.register(n.sequence+1, resyncs)
		case confirmAction:
			n.register(n.sequence+1, 0)
		case followAction:
			n.follow(a.node, a.epoch)
		case logAction:
			if a.level >= slog.LevelInfo {
				n.w.print("%s: %v", n.name, a)
			}
		}
	}
}

func (n *node) follow(to netip.Addr, epoch uint16) {
	if !n.standing.Self {
		n.standing.Node, n.standing.Epoch, n.standing.Known = to, epoch, true
	}
}

func (n *node) ping(a pingAction) {
	w := n.w
	to := names[slices.Index(names, short.Replace(a.to.String()))]
	w.after(delay, func() {
		m := w.nodes[to]
		switch {
		case !w.reaches(n.name, to) || m != nil && m.hung:
			w.after(n.core.t.Silence, func() { n.event(func(now time.Time) { n.core.failed(now, a.to, false) }) })
		case m == nil || m.dead:
			w.after(delay, func() { n.event(func(now time.Time) { n.core.failed(now, a.to, true) }) })
		default:
			var v View
			m.event(func(now time.Time) {
				m.core.heard(now, addressOf(n.name), a.view, false)
				v = m.core.view(now)
			})
			w.after(delay, func() { n.event(func(now time.Time) { n.core.heard(now, a.to, v, true) }) })
		}
	})
}

// lifetime is that of registrations; they are refreshed somewhat earlier.
const lifetime = 10 * time.Minute

// register is what anycast.Address does with the home agent, and with the other
// replicas afterwards.
func (n *node) register(sequence uint16, resyncs int) {
	w := n.w
	n.refresh = w.now.Add(lifetime - time.Minute)
	done := func(d time.Duration, err error, f func()) {
		w.after(d, func() {
			if n.dead || n.hung {
				return
			}
			f()
			n.event(func(now time.Time) { n.core.registered(now, err) })
		})
	}
	w.after(delay, func() {
		if !w.reaches(n.name, homeName) {
			done(10*time.Second, anycast.ErrTimeout, func() {})
			return
		}
		key := homeKey
		before, _ := w.home.Lookup(w.now, key)
		r := w.home.Update(w.now, bindings.Request{
			Key: key, CareOf: addressOf(n.name), Sequence: sequence, Lifetime: lifetime, HomeRegistration: true,
		})
		if !r.Status.Accepted() {
			last := r.Sequence
			if resyncs > 0 {
				n.register(last+1, resyncs-1)
				return
			}
			done(delay, &anycast.SequenceError{Last: last}, func() {
				if n.standing.Self {
					n.standing = anycast.Standing{Epoch: last, Known: true}
				}
				if bindings.After(last, n.sequence) {
					n.sequence = last
				}
			})
			return
		}
		if before.CareOf != addressOf(n.name) {
			w.print("home agent: %v", addressOf(n.name))
			w.moves = append(w.moves, move{w.now, n.name})
		}
		done(delay, nil, func() {
			n.sequence = sequence
			was := n.standing.Self
			n.standing = anycast.Standing{Node: addressOf(n.name), Self: true, Epoch: sequence, Known: true}
			if was {
				return
			}
			for _, to := range names {
				if m := w.nodes[to]; to != n.name && m != nil && w.reaches(n.name, to) {
					w.after(delay, func() { m.announced(addressOf(n.name), sequence) })
				}
			}
		})
	})
}

// announced is what anycast does when another replica announces itself.
func (n *node) announced(by netip.Addr, epoch uint16) {
	if s := n.standing; s.Known && (s.Self || by != s.Node) && !bindings.After(epoch, s.Epoch) {
		return
	}
	n.standing = anycast.Standing{Node: by, Epoch: epoch, Known: true}
}

// registered is whom the home agent sends to.
func (w *world) registered() string {
	b, _ := w.home.Lookup(w.now, homeKey)
	if !b.CareOf.IsValid() {
		return "nobody"
	}
	return short.Replace(b.CareOf.String())
}

// status says what each replica believes.
func (w *world) status() {
	w.print("home agent: %s", w.registered())
	for _, name := range names {
		n := w.nodes[name]
		switch {
		case n == nil:
		case n.dead || n.hung:
			w.print("%s: dead", name)
		case n.core.active:
			w.print("%s: contact node", name)
		default:
			node := "nobody"
			if n.core.node.IsValid() {
				node = n.core.node.String()
			}
			w.print("%s: follows %s", name, node)
		}
	}
}

// alive are the live candidates, best first.
func (w *world) alive() (all []string) {
	for _, name := range names[:3] {
		if n := w.nodes[name]; n != nil && !n.dead && !n.hung {
			all = append(all, name)
		}
	}
	slices.SortFunc(all, func(a, b string) int { return cmp.Compare(slices.Index(names, a), slices.Index(names, b)) })
	return all
}

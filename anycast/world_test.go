package anycast

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/bindings"
	"github.com/vanycast/vanycast/mipv6/mhsock"
	"github.com/vanycast/vanycast/mipv6/rr"
)

// names of the scenarios' hosts.
var (
	contactAddr  = netip.MustParseAddr("2001:db8:9::1")
	otherContact = netip.MustParseAddr("2001:db8:9::2")
	thirdContact = netip.MustParseAddr("2001:db8:9::3")
	homeAgent    = netip.MustParseAddr("2001:db8:9::ff")
	glass        = netip.MustParseAddr("2001:db8:1::10") // the replica whose core it is
	reich        = netip.MustParseAddr("2001:db8:2::10")
	adams        = netip.MustParseAddr("2001:db8:3::10")
	modern       = netip.MustParseAddr("2001:db8:c::7") // a client

	shortNames = strings.NewReplacer(
		homeAgent.String(), "ha", contactAddr.String(), "contact", glass.String(), "glass", reich.String(), "reich",
		adams.String(), "adams", modern.String(), "modern")
	longNames = map[string]netip.Addr{"ha": homeAgent, "contact": contactAddr, "glass": glass, "reich": reich, "adams": adams, "modern": modern}

	testPair = pair{Home: contactAddr, Client: modern}
)

// world is a core with a client and a home agent of real code around it. What
// the core sends lies on the wire until a command has it answered, or lost.
type world struct {
	t       *testing.T
	core    *core
	start   time.Time
	now     time.Time
	wire    []sendAction
	out     []string
	next    opID
	client  *rr.Responder
	cache   *bindings.Cache // the client's
	home    *bindings.Cache // the home agent's
	used    bool
	deaf    bool // answers are lost
	mark    Mark
	seed    byte
	waiting map[opID]bool
}

func newWorld(t *testing.T) *world {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	w := &world{t: t, start: start, now: start, used: true, waiting: make(map[opID]bool)}
	w.core = newCore(coreConfig{
		careOf: glass, maxClients: 8, rand: rand.NewChaCha8([32]byte{7}),
	})
	w.newClient()
	w.home = bindings.NewCache(bindings.Config{})
	return w
}

// passive adds a contact address, as Node.Passive does.
func (w *world) passive(ct Contact) {
	err := ct.check(glass)
	if err == nil {
		err = w.core.passive(ct)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// newClient restarts the client: it remembers nothing.
func (w *world) newClient() {
	w.seed++
	var err error
	w.client, err = rr.NewResponder(rr.ResponderConfig{Rand: rand.NewChaCha8([32]byte{w.seed})})
	if err != nil {
		w.t.Fatal(err)
	}
	w.cache = bindings.NewCache(bindings.Config{})
}

func (w *world) print(format string, args ...any) {
	w.out = append(w.out, shortNames.Replace(fmt.Sprintf(format, args...)))
}

func (w *world) take() []string {
	out := w.out
	w.out = nil
	return out
}

// settle notes what the core wants done.
func (w *world) settle() {
	for _, a := range w.core.take() {
		if use, ok := a.(useAction); ok {
			w.core.inUse(w.now, use.pair, w.used)
			w.settle()
			continue
		}
		w.print("%v", a)
		switch a := a.(type) {
		case sendAction:
			w.wire = append(w.wire, a)
		case doneAction:
			if !w.waiting[a.id] {
				w.t.Errorf("operation %d ended though nobody waits", a.id)
			}
			delete(w.waiting, a.id)
		}
	}
}

func (w *world) id() opID {
	w.next++
	w.waiting[w.next] = true
	return w.next
}

// checkInvariants: nothing is forgotten.
func (w *world) checkInvariants() {
	if len(w.waiting) != len(w.core.ops) {
		w.t.Errorf("the core waits for %d operations, callers for %d", len(w.core.ops), len(w.waiting))
	}
	for p, cl := range w.core.clients {
		if p != cl.pair {
			w.t.Errorf("client %v under %v", cl.pair, p)
		}
	}
	for p, cl := range w.core.running {
		if cl.op == nil || cl.op.phase != phaseTests || w.core.clients[p] != cl {
			w.t.Errorf("a run of %v without an operation", p)
		}
	}
}

// command does one line of a scenario.
func (w *world) command(f []string) error {
	err := w.perform(f)
	w.settle()
	return err
}

func (w *world) perform(f []string) error {
	args := f[1:]
	arg := func(i int) string {
		if i < len(args) {
			return args[i]
		}
		return ""
	}
	switch f[0] {
	case "passive": // [replicas that may be contact node]
		ct := Contact{Address: contactAddr, HomeAgent: homeAgent, Replicas: []netip.Addr{glass, reich, adams}}
		for _, a := range args {
			ct.ContactNodes = append(ct.ContactNodes, longNames[a])
		}
		w.passive(ct)
	case "active":
		w.core.activate(w.now, w.id(), contactAddr, nil)
	case "succeed": // the number of the last registration
		n, err := strconv.ParseUint(arg(0), 10, 16)
		if err != nil {
			return err
		}
		last := uint16(n)
		w.core.activate(w.now, w.id(), contactAddr, &last)
	case "confirm":
		w.core.confirm(w.now, w.id(), contactAddr)
	case "announced": // by whom, with which number
		n, err := strconv.ParseUint(arg(1), 10, 16)
		if err != nil {
			return err
		}
		w.print("believed: %v", w.core.announced(contactAddr, longNames[arg(0)], uint16(n)))
	case "deregister":
		w.core.deregister(w.now, w.id(), contactAddr)
	case "remove":
		w.core.remove(w.now, contactAddr)
	case "probe":
		w.core.probe(w.now, w.id(), testPair)
	case "bind":
		w.core.bind(w.now, w.id(), testPair)
	case "clear":
		w.core.clear(w.now, w.id(), testPair)
	case "hold", "unhold":
		w.core.hold(w.now, w.id(), testPair, f[0] == "hold")
	case "finish":
		w.core.handedOff(w.now, testPair)
	case "mark":
		m, err := w.core.mark(w.now, testPair)
		if err != nil {
			w.print("error: %v", err)
			break
		}
		w.mark = m
		w.print("mark seq=%d bound=%v token=%v", m.Sequence, m.Bound, m.HomeToken != nil)
	case "preview":
		m := w.core.preview(w.now, testPair)
		w.print("preview seq=%d bound=%v token=%v", m.Sequence, m.Bound, m.HomeToken != nil)
	case "prepare":
		w.core.prepare(w.now, w.id(), testPair, w.mark)
	case "set-mark": // seq=N [bound] [token]: as if it came from a donor
		return w.setMark(args)
	case "start": // [DURATION]: at most that long
		until := time.Time{}
		if len(f) > 1 {
			d, err := time.ParseDuration(arg(0))
			if err != nil {
				return err
			}
			until = w.now.Add(d)
		}
		w.core.start(w.now, w.id(), testPair, reich, w.mark, until)
	case "stall": // all that is due meanwhile comes at once
		d, err := time.ParseDuration(arg(0))
		if err != nil {
			return err
		}
		w.now = w.now.Add(d)
		w.core.poll(w.now)
	case "reclaim":
		w.core.reclaim(w.now, w.id(), testPair, w.mark)
	case "relayed": // by which replica
		w.core.relayed(w.now, w.id(), longNames[arg(0)], testPair)
	case "cancel":
		n, err := strconv.Atoi(arg(0))
		if err != nil {
			return err
		}
		w.core.cancel(w.now, opID(n), errors.New("context canceled"))
	case "advance":
		d, err := time.ParseDuration(arg(0))
		if err != nil {
			return err
		}
		w.advance(d)
	case "used", "unused":
		w.used = f[0] == "used"
	case "lose": // all messages of a type
		_, err := w.pick(arg(0))
		return err
	case "answer":
		return w.answer(arg(0))
	case "answer-lost": // the receiver gets it, we do not get the answer
		w.deaf = true
		defer func() { w.deaf = false }()
		return w.answer(arg(0))
	case "refuse": // by ICMPv6 parameter problem
		return w.refuse(arg(0), arg(1))
	case "relay": // what the contact node says: token, or an outcome
		return w.relay(arg(0), arg(1))
	case "client-restarts":
		w.newClient()
	case "client-forgets":
		w.cache = bindings.NewCache(bindings.Config{})
	case "home-forgets":
		w.home = bindings.NewCache(bindings.Config{})
	case "other": // another replica's update at the client or home agent: seq=N
		return w.other(arg(0), arg(1))
	case "refresh-request":
		w.receive(mhsock.Received{Src: modern, Dst: contactAddr}, &mipv6.BindingRefreshRequest{})
	case "refresh-passed":
		w.print("ours: %v", w.core.refreshRequested(w.now, testPair))
	case "binding-error":
		w.receive(mhsock.Received{Src: modern, Dst: glass}, &mipv6.BindingError{Status: mipv6.UnknownBinding, Home: contactAddr})
	case "status":
		w.status()
	default:
		return errors.New("unknown command")
	}
	return nil
}

func (w *world) setMark(args []string) error {
	w.mark = Mark{}
	for _, a := range args {
		switch n, isSeq := strings.CutPrefix(a, "seq="); {
		case isSeq:
			v, err := strconv.ParseUint(n, 10, 16)
			if err != nil {
				return err
			}
			w.mark.Sequence = uint16(v)
		case a == "bound":
			w.mark.Bound = true
		case a == "token":
			t := w.token().Aged(w.now)
			w.mark.HomeToken = &t
		default:
			return fmt.Errorf("unknown %q", a)
		}
	}
	return nil
}

// token is a home keygen token that somebody else got from the client.
func (w *world) token() rr.HomeToken {
	m, err := w.client.HomeTest(w.now, contactAddr, &mipv6.HomeTestInit{})
	if err != nil {
		w.t.Fatal(err)
	}
	return rr.HomeToken{Token: m.Token, NonceIndex: m.NonceIndex, Received: w.now}
}

// advance lets time pass, with a poll at each moment that the core waits for.
func (w *world) advance(d time.Duration) {
	end := w.now.Add(d)
	for range 1000 {
		at, ok := w.core.next()
		if !ok || at.After(end) {
			break
		}
		if at.After(w.now) {
			w.now = at
		}
		before := len(w.out)
		w.core.poll(w.now)
		w.settle()
		if len(w.out) > before {
			w.out = slices.Insert(w.out, before, "at "+seconds(w.now.Sub(w.start)))
		}
		if again, ok := w.core.next(); ok && !again.After(w.now) {
			w.t.Fatalf("at %v the core waits for %v", w.now, again)
		}
	}
	w.now = end
	w.cache.Poll(end)
	w.home.Poll(end)
}

func (w *world) status() {
	for _, u := range w.core.list.All() {
		w.print("%v: %v seq=%d home=%v outstanding=%v", u.Target, u.State, u.Sequence, u.HomeRegistration, u.Outstanding)
	}
	for _, cl := range w.core.sortedClients(netip.Addr{}) {
		w.print("client %v: route %v token=%v", cl.Client, cl.route, cl.home.Fresh(w.now))
	}
	for _, ct := range w.core.contacts {
		w.print("contact node: %v (active %v)", ct.contactNode, ct.active)
	}
}

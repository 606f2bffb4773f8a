package framework

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vanycast/vanycast/handoff"
	"github.com/vanycast/vanycast/internal/scenario"
	"github.com/vanycast/vanycast/tcpcp"
)

// TestScenarios replays testdata/*.txt: the events of one service, and the
// actions that the core answers with.
func TestScenarios(t *testing.T) {
	scenario.Run(t, func(t *testing.T) func(scenario.Command) string {
		s := newStory(t)
		return func(c scenario.Command) string { return s.command(append([]string{c.Name}, c.Words...)) }
	})
}

// names of the hosts in scenarios.
var hosts = map[string]netip.Addr{
	"glass": netip.MustParseAddr("2001:db8:1::10"), "reich": netip.MustParseAddr("2001:db8:2::10"), "adams": netip.MustParseAddr("2001:db8:3::10"),
	"alice": netip.MustParseAddr("2001:db8:a::1"), "bob": netip.MustParseAddr("2001:db8:b::1"), "carol": netip.MustParseAddr("2001:db8:c::1"),
	"stranger": netip.MustParseAddr("2001:db8:ffff::1"), "contact": netip.MustParseAddr("2001:db8:9::1"),
}

// failures in scenarios.
var failures = map[string]error{
	"ok": nil, "gone": handoff.ErrGone, "busy": handoff.ErrBusy, "canceled": context.Canceled,
	"unreachable":    errors.New("unreachable"),
	"immovable":      &tcpcp.Error{Op: "freeze", Kind: tcpcp.ErrState},
	"timeout":        context.DeadlineExceeded,
	"no-mobile-ipv6": fmt.Errorf("home test: %w", handoff.ErrNoMobileIPv6),
	"no-application": &handoff.RefusedError{Reason: handoff.ReasonNoApplication},
	"queue-full":     &handoff.RefusedError{Reason: handoff.ReasonQueueFull},
	"refused-mobile": &handoff.RefusedError{Reason: handoff.ReasonNoMobileIPv6},
	"draining":       &handoff.RefusedError{Reason: handoff.ReasonDraining},
}

// story is one scenario: the core and a clock.
type story struct {
	t       *testing.T
	core    *core
	now     time.Time
	contact bool
	relays  bool
	out     strings.Builder
}

func newStory(t *testing.T) *story {
	s := &story{t: t, now: time.Unix(1_000_000, 0), contact: true}
	s.configure(nil)
	return s
}

func (s *story) configure(args []string) {
	cfg := Config{
		Service: "echo", Contact: netip.AddrPortFrom(hosts["contact"], 4000), Backlog: 8, Policy: PolicyRandom,
		Self: hosts["glass"], Replicas: []netip.Addr{hosts["glass"], hosts["reich"], hosts["adams"]},
		AcceptTimeout: 5 * time.Second, ExcludeFor: 30 * time.Second,
	}
	for _, a := range args {
		k, v, _ := strings.Cut(a, "=")
		switch k {
		case "backlog":
			cfg.Backlog = s.number(v)
		case "policy":
			cfg.Policy = v
		case "never-self":
			cfg.NeverSelf = true
		case "contact-only":
			cfg.ContactOnly = true
		case "steer":
			cfg.Steer = true
		case "clear-on-close":
			cfg.ClearOnClose = true
		default:
			s.t.Fatalf("config %q", a)
		}
	}
	s.core = newCore(cfg, func() bool { return s.contact }, func() bool { return s.relays }, NewLive())
}

// command runs an event and returns what comes of it.
func (s *story) command(words []string) string {
	s.event(words)
	for acts := s.core.take(); len(acts) > 0; acts = s.core.take() {
		for _, a := range acts {
			s.show(a)
		}
	}
	defer s.out.Reset()
	return s.out.String()
}

func (s *story) say(format string, args ...any) { fmt.Fprintf(&s.out, format+"\n", args...) }

func (s *story) event(w []string) {
	c, arg := s.core, append(w[1:], "", "", "")
	switch w[0] {
	case "config":
		s.configure(w[1:])
	case "contact-node":
		s.contact = arg[0] == "yes"
	case "relay":
		s.relays = arg[0] == "yes"
	case "wait":
		d, err := time.ParseDuration(arg[0])
		if err != nil {
			s.t.Fatal(err)
		}
		s.now = s.now.Add(d)
		if at, ok := c.next(); ok && !s.now.Before(at) {
			c.tick(s.now)
		}
	case "accept":
		s.say("client %d", c.accepted(s.now, 100, c.cfg.Contact, s.peer(arg[0]), arg[1] == "same-host"))
	case "accept-steered":
		s.say("client %d", c.born(s.now, 100, c.cfg.Contact, s.peer(arg[0]), false, bornHere))
	case "stood":
		var f standing
		for _, flag := range w[2:] {
			f |= map[string]standing{"listening": standsListening, "full": standsFull, "draining": standsDraining, "steered": standsSteered}[flag]
		}
		var err error
		if arg[1] == "away" {
			err = errors.New("unreachable")
		}
		c.stood(hosts[arg[0]], f, err)
	case "syn":
		switch ch := c.syn(s.now, s.peer(arg[0]), hosts[arg[1]]); {
		case ch.decided:
			s.say("to %s", s.name(ch.target))
		case ch.policy == "":
			s.say("undecided")
		default:
			var ready []string
			for _, a := range ch.view.Replicas {
				ready = append(ready, s.name(a))
			}
			s.say("ask policy %s: ready %v, listening %t, never self %t", ch.policy, ready, ch.view.Listening, ch.view.NeverSelf)
		}
	case "steered":
		c.steered(s.now, s.peer(arg[0]), hosts[arg[1]])
	case "selected":
		target, ok := hosts[arg[1]]
		c.selected(s.now, s.key(arg[0]), target, ok)
	case "probed":
		c.probed(s.now, s.key(arg[0]), s.failure(arg[1]))
	case "bound":
		c.bindEnded(s.key(arg[0]), s.failure(arg[1]))
	case "moved":
		c.moved(s.now, s.key(arg[0]), s.failure(arg[1]))
	case "listen":
		var o ListenOptions
		for _, a := range w[1:] {
			k, v, _ := strings.Cut(a, "=")
			on := v != "no"
			switch k {
			case "policy":
				o.Policy = v
			case "never-self":
				o.NeverSelf = &on
			case "contact-only":
				o.ContactOnly = &on
			case "requests":
				o.HandoffRequests = on
			}
		}
		s.say("socket %d", c.opened(o))
	case "take":
		s.result(c.accepting(s.now, s.socket(arg[0])))
	case "withdraw":
		c.withdrawn(s.socket(arg[0]))
	case "unlisten":
		c.socketClosed(s.socket(arg[0]))
	case "die":
		c.abandoned(s.socket(arg[0]))
	case "handoff":
		s.result(c.handoffAsked(s.now, s.socket(arg[0]), s.key(arg[1]), hosts[arg[2]], w[len(w)-1] == "async"))
	case "order":
		ask, err := c.ordered(s.now, s.key(arg[0]), hosts[arg[1]])
		if ask {
			s.say("ask the application for client %s", arg[0])
		}
		s.result(err)
	case "cancel":
		c.handoffCanceled(s.key(arg[0]))
	case "close":
		var clear *bool
		if arg[2] != "" {
			on := arg[2] == "clear"
			clear = &on
		}
		s.result(c.closeAsked(s.socket(arg[0]), s.key(arg[1]), false, clear))
	case "return":
		c.returned(s.now, s.socket(arg[0]), s.key(arg[1]))
	case "adopt":
		k, err := c.adopted(s.now, s.socket(arg[0]), 200, c.cfg.Contact, s.peer(arg[1]))
		s.say("client %d", k)
		s.result(err)
	case "over":
		c.finished(s.key(arg[0]))
	case "closed":
		c.closed(s.now, s.key(arg[0]))
	case "admit":
		s.result(c.admit(s.now, handoff.Offer{Service: "echo", Contact: c.cfg.Contact, Client: s.peer(arg[0]), From: hosts["reich"]}))
	case "arrive":
		s.say("client %d", c.arrived(s.now, &handoff.Client{
			ID: 300, Local: c.cfg.Contact, Remote: s.peer(arg[0]), From: hosts[arg[1]],
			Relayed: arg[2] == "relayed" || arg[2] == "alone", Immobile: arg[2] == "relayed",
		}))
	case "shutdown":
		c.shutdown()
	case "clients":
		for _, k := range c.keys() {
			cl := c.clients[k]
			s.say("client %d %s %s", k, s.name(cl.remote.Addr()), cl.phase)
		}
	default:
		s.t.Fatalf("event %q", w)
	}
}

func (s *story) result(err error) {
	if err != nil {
		s.say("error: %s", s.err(err))
	}
}

func (s *story) show(a action) {
	switch a := a.(type) {
	case askPolicy:
		var ex []string
		for x, on := range a.exclude {
			if on {
				ex = append(ex, s.name(x))
			}
		}
		sort.Strings(ex)
		var av []string
		for _, x := range a.view.Replicas {
			av = append(av, s.name(x))
		}
		s.say("ask policy %s for client %d: available %v, excluded %v, listening %t, never self %t", a.policy, a.key, av, ex, a.view.Listening, a.view.NeverSelf)
	case probe:
		s.say("probe client %d", a.key)
	case move:
		s.say("move client %d to %s", a.key, s.name(a.target))
	case immobile:
		s.say("%s has no Mobile IPv6", s.name(a.client))
	case cancelWork:
		s.say("cancel work for client %d", a.key)
	case deliver:
		cl := s.core.clients[a.key]
		text := fmt.Sprintf("deliver client %d to socket %d", a.key, a.socket)
		if cl.handedOff {
			text += ", handed off by " + s.name(cl.from)
		}
		if cl.failedErr != nil {
			text += ", back: " + s.err(cl.failedErr)
		}
		s.say("%s", text)
	case bind:
		s.say("bind client %d", a.key)
	case closeConn:
		s.say("close client %d", a.key)
	case clearBinding:
		s.say("clear binding of %s", s.name(a.client))
	case forget:
		s.say("forget client %d", a.key)
	case answer:
		s.say("answer for client %d: %s", a.key, s.err(a.err))
	case vacated:
		s.say("%s has no connection here any more", s.name(a.client))
	case report:
		s.say("report of client %d: %s", a.key, s.err(a.err))
	case placed:
		s.say("placed client %d", a.key)
	case replicaFailed:
		s.say("tell policy %s: %s failed: %s", a.policy, s.name(a.target), s.err(a.err))
	case ended: // of no interest to who has one connection
		if a.others {
			s.say("a connection of %s is closed, others are here", s.name(a.remote.Addr()))
		}
	case observe: // the operator's log is not what these are about
	default:
		s.t.Fatalf("action %T", a)
	}
}

func (s *story) err(err error) string {
	if err == nil {
		return "ok"
	}
	text := err.Error()
	for n, a := range hosts {
		text = strings.ReplaceAll(text, a.String(), n)
	}
	return text
}

func (s *story) failure(name string) error {
	err, ok := failures[name]
	if !ok {
		s.t.Fatalf("failure %q", name)
	}
	return err
}

func (s *story) name(a netip.Addr) string {
	for n, x := range hosts {
		if x == a {
			return n
		}
	}
	return a.String()
}

func (s *story) peer(text string) netip.AddrPort {
	host, port, _ := strings.Cut(text, ":")
	if _, ok := hosts[host]; !ok {
		s.t.Fatalf("host %q", text)
	}
	return netip.AddrPortFrom(hosts[host], uint16(s.number(port)))
}

func (s *story) number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

func (s *story) key(text string) key         { return key(s.number(text)) }
func (s *story) socket(text string) socketID { return socketID(s.number(text)) }

package framework

import (
	"net/netip"
	"testing"
	"time"

	"github.com/vanycast/vanycast/handoff"
)

// path is a client's TCP and the network as the kernel's numbers show them.
type path struct {
	out, in  bool // our segments reach the client, the client's reach us
	sending  int  // bytes that we send every 100 ms
	asking   int  // bytes that the client sends every 100 ms
	loss     int  // one segment in so many is lost
	quiet    time.Duration
	rto      time.Duration
	tcpView  // what the kernel says
	backoff  time.Duration
	due      time.Duration // of the next timeout
	theirs   int           // the client's bytes that we have not acknowledged to it
	repeat   time.Duration
	repeated time.Duration
	n        int
}

// step passes 100 ms.
func (p *path) step(at time.Duration) {
	if at < p.quiet {
		return
	}
	p.n++
	lost := p.loss > 0 && p.n%p.loss == 0
	p.outstanding += uint64(p.sending)
	if p.outstanding > 0 && p.out && p.in && !lost {
		p.acked += p.outstanding
		p.outstanding, p.timeouts, p.due = 0, 0, 0
	} else if p.outstanding > 0 {
		if p.due == 0 {
			p.backoff = p.rto
			p.due = at + p.backoff
		}
		if at >= p.due {
			p.timeouts++
			p.backoff *= 2
			p.due = at + p.backoff
		}
	}
	switch {
	case !p.in:
	case p.asking > 0 && p.theirs == 0:
		p.segments++
		p.received += uint64(p.asking)
		if !p.out || lost {
			p.theirs, p.repeat, p.repeated = p.asking, p.rto, at+p.rto
		}
	case p.theirs > 0 && at >= p.repeated:
		p.segments++ // the same again
		p.repeat *= 2
		p.repeated = at + p.repeat
		if p.out {
			p.theirs = 0
		}
	}
}

// judge looks until there is a verdict, or for so long.
func (p *path) judge(limit time.Duration) (verdict, time.Duration) {
	var j progress
	begin := time.Unix(1_000_000, 0)
	for at := time.Duration(0); at < limit; at += lookSoon {
		p.step(at)
		now := begin.Add(at)
		if now.Before(j.next) {
			continue
		}
		if v := j.look(now, p.tcpView); v != pathUnknown {
			return v, at
		}
	}
	return pathUnknown, limit
}

// Whatever the client and we do, a path that passes nothing is found out within
// seconds, and one that passes is not taken for one, though it loses much.
func TestProgress(t *testing.T) {
	const rto = 200 * time.Millisecond
	for _, tc := range []struct {
		name string
		path path
		want verdict
		most time.Duration // until the verdict, after the first segment
	}{
		{"open, we send", path{out: true, in: true, sending: 1000, rto: rto}, pathOpen, time.Second},
		{"open, it sends", path{out: true, in: true, asking: 1000, rto: rto}, pathOpen, 4 * time.Second},
		{"open, both, and loses a third", path{out: true, in: true, sending: 100, asking: 100, loss: 3, rto: rto}, pathOpen, 2 * time.Second},
		{"open, idle", path{out: true, in: true, rto: rto}, pathUnknown, time.Minute},
		{"open, late", path{out: true, in: true, sending: 10, rto: rto, quiet: 40 * time.Second}, pathOpen, 3 * time.Second},
		{"ours are dropped, we send", path{in: true, sending: 1000, rto: rto}, pathBlocked, 1500 * time.Millisecond},
		{"ours are dropped, it sends", path{in: true, asking: 1000, rto: rto}, pathBlocked, 4 * time.Second},
		{"ours are dropped, both", path{in: true, asking: 10, sending: 10, rto: rto}, pathBlocked, 1500 * time.Millisecond},
		{"its are dropped", path{out: true, sending: 1000, rto: rto}, pathBlocked, 1500 * time.Millisecond},
		{"all are dropped", path{sending: 1000, rto: rto}, pathBlocked, 1500 * time.Millisecond},
		{"all are dropped, late", path{sending: 10, rto: rto, quiet: 40 * time.Second}, pathBlocked, 3 * time.Second},
		{"all are dropped, cold timer", path{sending: 10, rto: time.Second}, pathBlocked, 3500 * time.Millisecond},
		{"its are dropped, it sends", path{out: true, asking: 10, rto: rto}, pathUnknown, time.Minute}, // nothing to know it by
	} {
		got, after := tc.path.judge(tc.path.quiet + time.Minute)
		if got != tc.want || got != pathUnknown && after-tc.path.quiet > tc.most {
			t.Errorf("%s: %v after %v, want %v within %v", tc.name, got, after-tc.path.quiet, tc.want, tc.most)
		}
	}
}

// An acknowledgement of what was sent before the short cut proves nothing.
func TestProgressOldAcknowledgement(t *testing.T) {
	var p progress
	now := time.Unix(1_000_000, 0)
	p.look(now, tcpView{acked: 100, outstanding: 500})
	if v := p.look(now.Add(lookSoon), tcpView{acked: 600, outstanding: 300}); v != pathUnknown {
		t.Errorf("acknowledged up to what went the old way: %v", v)
	}
	if v := p.look(now.Add(2*lookSoon), tcpView{acked: 601, outstanding: 299}); v != pathOpen {
		t.Errorf("acknowledged one byte more: %v", v)
	}
}

// A burst behind one lost segment is no sign of a client that does not hear us.
func TestProgressReordering(t *testing.T) {
	var p progress
	now := time.Unix(1_000_000, 0)
	v := tcpView{}
	p.look(now, v)
	for range 10 {
		v.segments += 40 // behind the gap
		now = now.Add(lookSoon)
		if got := p.look(now, v); got != pathUnknown {
			t.Fatalf("%v in the gap", got)
		}
	}
	v.received += 400_000
	if got := p.look(now.Add(lookSoon), v); got == pathBlocked {
		t.Error("blocked after the gap was filled")
	}
}

// Nothing is looked at longer than the longest pause, nor more often than needed.
func TestProgressPauses(t *testing.T) {
	var p progress
	now := time.Unix(1_000_000, 0)
	looks := 0
	for end := now.Add(time.Minute); now.Before(end); now = p.next {
		if p.look(now, tcpView{}); p.next.Sub(now) > lookLater {
			t.Fatalf("the next look is after %v", p.next.Sub(now))
		}
		looks++
	}
	if looks > 40 {
		t.Errorf("%d looks at an idle connection in a minute", looks)
	}
}

// A blocked path is all the client's connections'; a client that came blocked by
// another replica's handoff is found out like one that was bound here; one that is
// frozen for a handoff is not judged.
func TestFallBackCore(t *testing.T) {
	cfg := Config{Service: "echo", Contact: netip.AddrPortFrom(hosts["contact"], 4000), Backlog: 8, Policy: PolicyLocal, Self: hosts["glass"], fallsBack: true}
	cfg.Replicas = []netip.Addr{hosts["reich"]}
	c := newCore(cfg, func() bool { return true }, func() bool { return true }, NewLive())
	now := time.Unix(1_000_000, 0)
	alice := func(port uint16) netip.AddrPort { return netip.AddrPortFrom(hosts["alice"], port) }
	first := c.arrived(now, &handoff.Client{ID: 1, Local: cfg.Contact, Remote: alice(1), From: hosts["reich"]})
	second := c.accepted(now, 2, cfg.Contact, alice(2), false)
	other := c.arrived(now, &handoff.Client{ID: 3, Local: cfg.Contact, Remote: netip.AddrPortFrom(hosts["bob"], 1), From: hosts["reich"], Relayed: true})
	c.bindEnded(second, nil)
	if len(c.progress) != 2 || c.progress[other] != nil {
		t.Fatalf("watched: %v", c.progress)
	}
	c.clients[first].phase = phaseMoving
	if due := c.due(now); len(due) != 1 || due[0] != second {
		t.Errorf("due: %v", due)
	}
	c.clients[first].phase = phaseHeld
	c.take()
	stuck := tcpView{outstanding: 1, timeouts: blockedTimeouts}
	for i := range 30 {
		c.looked(now.Add(time.Duration(i)*lookSoon), first, stuck)
	}
	fell := 0
	for _, a := range c.take() {
		if f, ok := a.(fallBack); ok && f.client == hosts["alice"] {
			fell++
		}
	}
	if fell != 1 || len(c.progress) != 0 || !c.clients[first].immobile || !c.clients[second].immobile {
		t.Errorf("fell back %d times, watched %v", fell, c.progress)
	}
}

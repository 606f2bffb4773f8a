package tests

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vanycast/vanycast/api/wire"
	"github.com/vanycast/vanycast/tests/cluster"
	"github.com/vanycast/vanycast/tests/lab"
)

var (
	killSeed = flag.Uint64("kill.seed", 0, "of TestKilledAtRandom; 0: another each time")
	killFor  = flag.Duration("kill.for", 40*time.Second, "no round of TestKilledAtRandom begins later")
)

const (
	killMoment  = 1500 * time.Millisecond
	killRecover = 45 * time.Second // longer than any handoff can leave open who owns a client
)

// Donor, acceptor, contact node, at random moments of handoffs that never end: each is
// killed again and again, daemon and application. No client with a live owner is
// lost, and none gets a reset.
func TestKilledAtRandom(t *testing.T) {
	ctx := testContext(t, *killFor+4*time.Minute)
	seed := *killSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-kill.seed=%d", seed)
	service := cluster.Echo()
	service.ContactNodes = lab.Replicas()
	service.Extra = []string{`contact_return = "2s"`, `exclude_time = "2s"`}
	s := bringUp(ctx, t, cluster.WithServices(service))
	k := &killing{site: s, t: t, rand: rand.New(rand.NewPCG(seed, 6275)), servers: map[string]*lab.Process{}, lost: map[string]int{}}
	for _, name := range lab.Replicas() {
		k.serve(ctx, name)
	}
	must(t, s.contactNode(ctx, "glass"))
	captures := map[string]*lab.Capture{}
	for _, name := range []string{"modern", "legacy"} {
		c, err := s.Router.Capture(name)
		must(t, err)
		captures[name] = c
	}
	for _, h := range []*lab.Host{s.Modern, s.Legacy, s.Legacy, s.Legacy} {
		k.talkers = append(k.talkers, startTalker(ctx, t, h, &k.calm))
	}
	rounds := 0
	for begin := time.Now(); time.Since(begin) < *killFor; rounds++ {
		k.round(ctx)
	}
	var survivors []*talker
	for _, c := range k.talkers {
		if err := c.end(ctx); err != nil {
			t.Errorf("%v: %v", c, err)
		}
		survivors = append(survivors, c)
	}
	t.Logf("%d rounds; lost with their owners: %v", rounds, k.lost)
	for _, name := range lab.Replicas() {
		if err := s.daemons[name].Stop(); err != nil {
			t.Errorf("%v\n%s", err, s.daemons[name].Tail(20))
		}
	}
	for name, c := range captures {
		must(t, c.Stop())
		for _, v := range survivors {
			if v.host != name {
				continue
			}
			frames, err := c.Frames(ctx, fmt.Sprintf("%s and tcp.port == %d", lab.FilterReset, v.port))
			must(t, err)
			for _, f := range frames {
				t.Errorf("%v: %s", v, f)
			}
		}
	}
}

// killing is the test's state.
type killing struct {
	*site
	t       *testing.T
	rand    *rand.Rand
	servers map[string]*lab.Process
	talkers []*talker
	lost    map[string]int
	calm    atomic.Bool
}

func (k *killing) serve(ctx context.Context, name string) {
	k.t.Helper()
	p, err := k.StartEcho(name, 16)
	must(k.t, err)
	k.servers[name] = p
	must(k.t, k.WaitServing(ctx, k.daemons, "echo", name))
}

// round kills one replica, sees what becomes of the clients, and starts it anew.
func (k *killing) round(ctx context.Context) {
	t := k.t
	t.Helper()
	moment := time.Duration(k.rand.Int64N(int64(killMoment)))
	role := []string{"donor", "acceptor", "contact node"}[k.rand.IntN(3)]
	one := k.talkers[k.rand.IntN(len(k.talkers))]
	other := k.rand.IntN(2)
	time.Sleep(moment) // any moment will do: handoffs never end
	victim := one.servedBy()
	switch role {
	case "acceptor":
		others := slices.DeleteFunc(lab.Replicas(), func(n string) bool { return n == victim })
		victim = others[other]
	case "contact node":
		for _, name := range lab.Replicas() {
			if status, err := k.daemons[name].Status(ctx); err == nil && status.Services[0].ContactNode {
				victim = name
			}
		}
	}
	served := make([]string, len(k.talkers))
	for i, c := range k.talkers {
		served[i] = c.servedBy()
	}
	killed := time.Now()
	must(t, k.daemons[victim].Kill9())
	must(t, k.servers[victim].Kill9())
	k.calm.Store(true) // what was under way then shall stay in the replicas' records
	t.Logf("%s killed as %s; clients are at %v", victim, role, served)

	delete(k.daemons, victim)
	for i, c := range k.talkers {
		err := k.recovers(ctx, c, killed)
		switch {
		case err == nil:
			continue
		case errors.Is(c.err, errScrambled):
			t.Fatalf("%v: %v", c, err)
		}
		excuse := k.judge(ctx, c, victim)
		if excuse == "" {
			t.Fatalf("%v: lost though its owner lives: %v", c, err)
		}
		t.Logf("%v: %v; %s", c, err, excuse)
		k.lost[role]++
		_ = c.conn.Close()
		k.talkers[i] = nil
	}
	if k.rand.IntN(2) == 0 { // else it is back before anybody has taken its place
		must(t, k.contactNode(ctx, ""))
		for _, c := range k.talkers {
			if c != nil {
				must(t, k.recovers(ctx, c, time.Now()))
			}
		}
	}
	if k.talkers[0] == nil {
		// A client that was bound to a dead replica sends there until its binding
		// lapses, which takes longer than this test.
		must(t, k.daemons["modern"].Stop())
		var err error
		k.daemons["modern"], err = k.Start(ctx, "modern")
		must(t, err)
		defer k.boundAnew(ctx)
	}
	var err error
	k.daemons[victim], err = k.Start(ctx, victim)
	must(t, err)
	k.serve(ctx, victim)
	for i, c := range k.talkers {
		if c == nil {
			h := []*lab.Host{k.Modern, k.Legacy, k.Legacy, k.Legacy}[i]
			k.talkers[i] = startTalker(ctx, t, h, &k.calm)
		}
	}
	k.calm.Store(false)
	began := time.Now()
	for _, c := range k.talkers {
		must(t, k.recovers(ctx, c, began))
	}
}

// boundAnew waits until the client whose daemon was started anew is bound again. What
// the replicas know of it is of the time before, until they have done a home test, which
// needs a contact node: a replica that dies now would be the second blow at once.
func (k *killing) boundAnew(ctx context.Context) {
	k.t.Helper()
	ctx, cancel := context.WithTimeoutCause(ctx, killRecover, fmt.Errorf("not within %v", killRecover))
	defer cancel()
	must(k.t, lab.WaitFor(ctx, func() error {
		var all []wire.Binding
		if err := k.daemons["modern"].Get(ctx, wire.PathBindings, &all); err != nil {
			return err
		}
		if len(all) == 0 {
			return errors.New("modern is not bound")
		}
		return nil
	}))
}

// recovers waits until a client goes on.
func (k *killing) recovers(ctx context.Context, c *talker, since time.Time) error {
	ctx, cancel := context.WithTimeoutCause(ctx, killRecover, fmt.Errorf("not within %v", killRecover))
	defer cancel()
	ctx, give := context.WithCancelCause(ctx)
	defer give(nil)
	return lab.WaitFor(ctx, func() error {
		over, err := c.progressed(since)
		if over {
			err = errors.Join(err, errors.New("the session is over"))
			give(err)
		}
		return err
	})
}

// errUndecided: a donor has not found out yet what the victim had of its client.
var errUndecided = errors.New("its donor does not know yet")

// judge is excuse as soon as all who had the client know what became of it.
func (k *killing) judge(ctx context.Context, c *talker, victim string) (excuse string) {
	k.t.Helper()
	ctx, cancel := context.WithTimeoutCause(ctx, killRecover, fmt.Errorf("not within %v", killRecover))
	defer cancel()
	must(k.t, lab.WaitFor(ctx, func() (err error) {
		excuse, err = k.excuse(ctx, c, victim)
		return err
	}))
	return excuse
}

// excuse says why a client may be lost: it was the victim's, or on the way there.
// There is none if a live replica has it, and errUndecided if nobody says anything.
func (k *killing) excuse(ctx context.Context, c *talker, victim string) (string, error) {
	to, _ := lab.SiteOf(victim)
	by, since := c.greeting()
	var newest wire.Handoff
	for name, d := range k.daemons {
		if !slices.Contains(lab.Replicas(), name) {
			continue
		}
		clients, err := d.Clients(ctx)
		if err != nil {
			return "", err
		}
		for _, v := range clients {
			if v.Remote != c.remote() || v.State == "closing" {
				continue
			}
			k.t.Logf("%s has it: %+v", name, v)
			if v.State == "moving" && v.Target == to.Addr {
				return "", errUndecided
			}
			return "", nil
		}
		records, err := d.Handoffs(ctx)
		if err != nil {
			return "", err
		}
		for _, r := range records {
			if r.Client == c.remote() && r.Started.After(newest.Started) {
				newest = r
			}
		}
	}
	switch {
	case by == victim && newest.Started.Before(since):
		// Who handed it there may have been killed since, and its record with it.
		return "the victim had greeted it", nil
	case newest.Role == "donor" && newest.To == to.Addr && (newest.Error == "" || strings.Contains(newest.Error, gone)):
		return fmt.Sprintf("%v had handed it to the victim (%q)", newest.From, newest.Error), nil
	case newest.Role == "acceptor" && newest.From == to.Addr && newest.Error != "":
		// It stays with its donor then.
		return fmt.Sprintf("%v did not get it from the victim (%q)", newest.To, newest.Error), nil
	}
	// Nobody has it: its donor may not have found out, or noted, what became of it.
	return "", fmt.Errorf("%w; the last handoff of it: %+v", errUndecided, newest)
}

// gone is what a donor says that cannot know whether the acceptor has got the client.
const gone = "client is gone"

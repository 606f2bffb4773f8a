package main

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/vanycast/vanycast/anycast"
	"github.com/vanycast/vanycast/conf"
	"github.com/vanycast/vanycast/framework/election"
)

// leaveTimeout bounds the handing over of contact addresses when the daemon ends.
const leaveTimeout = 3 * time.Second

func (r *replica) newElector(s *conf.Service, address *anycast.Address) *election.Elector {
	return election.New(election.Config{
		Contact: s.ContactAddress, Self: r.d.careOf(), Candidates: s.ContactNodes, Replicas: s.Replicas,
		Timing: election.Timing{
			Beat: min(time.Second, s.ContactTimeout/3), Silence: s.ContactTimeout, Return: s.ContactReturn,
		},
		Logger: r.d.log,
	}, address, r.peers)
}

func (r *replica) elector(contact netip.Addr) (*election.Elector, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	e, ok := r.electors[contact]
	return e, ok
}

func (r *replica) allElectors() []*election.Elector {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Collect(maps.Values(r.electors))
}

// elect has this host become contact node of its contact addresses, or follow who
// is, until ctx ends.
func (r *replica) elect(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, e := range r.allElectors() {
		wg.Go(func() { _ = e.Run(ctx) }) // it ends with ctx only
	}
	wg.Wait()
	return nil
}

// handOver gives this host's contact addresses to others before it goes, so that
// no packet comes here that nobody takes.
func (r *replica) handOver() error {
	ctx, cancel := context.WithTimeout(context.Background(), leaveTimeout)
	defer cancel()
	var wg sync.WaitGroup
	for _, e := range r.allElectors() {
		wg.Go(func() {
			if err := e.Leave(ctx); err != nil {
				r.d.log.Warn("contact address not handed over", "err", err)
			}
		})
	}
	wg.Wait()
	return nil
}

package xfrm

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/vanycast/vanycast/mipv6/dataplane"
)

// install puts rules into the kernel that are not there: states before the
// policies that ask for them.
func (p *Plane) install(r rules) error {
	var steps []step
	for _, s := range r.states {
		steps = append(steps, addState(s))
	}
	for _, q := range r.policies {
		steps = append(steps, setPolicy(q))
	}
	_, err := p.do(steps...)
	if errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("%w: this host has such a state, not by us: %w", dataplane.ErrConflict, err)
	}
	return err
}

// replace brings the kernel from some rules to others. A policy for the same
// packets is replaced in one go, and that is also what makes the kernel look at a
// changed state: it remembers by which way it sent.
func (p *Plane) replace(was, wanted rules) error {
	var steps []step
	for _, s := range wanted.states {
		if hasState(was.states, s.stateID) {
			steps = append(steps, changeState(s))
		} else {
			steps = append(steps, addState(s))
		}
	}
	for _, q := range wanted.policies {
		steps = append(steps, setPolicy(q))
	}
	for _, q := range was.policies {
		if !hasPolicy(wanted.policies, q.policyID) {
			steps = append(steps, deletePolicy(q.policyID))
		}
	}
	for _, s := range was.states {
		if !hasState(wanted.states, s.stateID) {
			steps = append(steps, removal(s.stateID)...)
		}
	}
	_, err := p.do(steps...)
	return err
}

// uninstall takes rules out of the kernel: policies before the states that they
// ask for.
func (p *Plane) uninstall(r rules) error { return p.replace(r, rules{}) }

// removal reads a state's counters before it goes.
func removal(i stateID) []step {
	read := getState(i)
	read.last = true
	return []step{read, deleteState(i)}
}

func hasState(list []state, i stateID) bool {
	return slices.ContainsFunc(list, func(s state) bool { return s.stateID == i })
}

func hasPolicy(list []policy, i policyID) bool {
	return slices.ContainsFunc(list, func(q policy) bool { return q.policyID == i })
}

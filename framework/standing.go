package framework

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// A contact node that steers must know which replicas would take a client, for it
// asks none before. It has a question under way at each of them all the time, which
// is answered when something changes, or after a while as a sign of life.
//
//	question   version 8 (1) | reserved 8 | last answer's number 16 | service name, at most 255 bytes
//	answer     version 8 (1) | flags 8 | number 16
//
// Flags: 1 an application listens, 2 the queue is full, 4 draining, 8 takes what
// is steered to it.
const (
	standingVersion = 1
	standingHeader  = 4
	maxServiceName  = 255
)

// standing is what a replica says of itself.
type standing uint8

const (
	standsListening standing = 1 << iota
	standsFull
	standsDraining
	standsSteered

	standingFlags = standsListening | standsFull | standsDraining | standsSteered
)

// ready tells whether a new connection may be sent there.
func (f standing) ready() bool {
	return f&(standsListening|standsFull|standsDraining|standsSteered) == standsListening|standsSteered
}

// String lists the flags, for the operator.
func (f standing) String() string {
	text := ""
	for i, name := range []string{"listening", "full", "draining", "steered"} {
		if f&(1<<i) != 0 {
			if text != "" {
				text += ", "
			}
			text += name
		}
	}
	return text
}

const (
	// standingWait is for how long a question waits for something new.
	standingWait = time.Second
	// standingPatience is how long an answer is waited for.
	standingPatience = 2 * standingWait
	// standingPause is the pause after a failure, and how often a replica looks
	// whether it has become contact node.
	standingPause = 250 * time.Millisecond
)

var errStanding = errors.New("framework: malformed message about a replica's standing")

func marshalQuestion(service string, seen uint16) []byte {
	return append(binary.BigEndian.AppendUint16([]byte{standingVersion, 0}, seen), service...)
}

func parseQuestion(b []byte) (service string, seen uint16, err error) {
	if len(b) < standingHeader || len(b) > standingHeader+maxServiceName || b[0] != standingVersion || b[1] != 0 {
		return "", 0, fmt.Errorf("%w: % x", errStanding, b[:min(len(b), standingHeader)])
	}
	return string(b[standingHeader:]), binary.BigEndian.Uint16(b[2:]), nil
}

func marshalStanding(f standing, number uint16) []byte {
	return binary.BigEndian.AppendUint16([]byte{standingVersion, byte(f)}, number)
}

func parseStanding(b []byte) (f standing, number uint16, err error) {
	if len(b) != standingHeader || b[0] != standingVersion || standing(b[1])&^standingFlags != 0 {
		return 0, 0, fmt.Errorf("%w: % x", errStanding, b[:min(len(b), standingHeader)])
	}
	return standing(b[1]), binary.BigEndian.Uint16(b[2:]), nil
}

// StandingService is the service that a question is about.
func StandingService(req []byte) (string, error) {
	name, _, err := parseQuestion(req)
	return name, err
}

// HandleStanding answers another replica's question. It fits peer.Handler.
func (s *Service) HandleStanding(ctx context.Context, _ netip.Addr, req []byte) ([]byte, error) {
	_, seen, err := parseQuestion(req)
	if err != nil {
		return nil, err
	}
	timer := time.NewTimer(standingWait)
	defer timer.Stop()
	for {
		f, number, changed := s.standing.read()
		if number != seen {
			return marshalStanding(f, number), nil
		}
		select {
		case <-changed:
			continue
		case <-timer.C:
		case <-ctx.Done():
		case <-s.ended:
			f |= standsDraining
		}
		return marshalStanding(f, number), nil
	}
}

// standing is what this replica says of itself. For the loop.
func (c *core) standing() standing {
	var f standing
	if len(c.sockets) > 0 {
		f |= standsListening
	}
	if c.full() && c.credits.Len() == 0 {
		f |= standsFull
	}
	if c.stopping {
		f |= standsDraining
	}
	if c.cfg.Steer {
		f |= standsSteered
	}
	return f
}

// stood: a replica answered, or, with an error, cannot be asked.
func (c *core) stood(a netip.Addr, f standing, err error) {
	if m := c.group.member(a); m != nil {
		m.standing, m.asked, m.away = f, err == nil, err
	}
}

// askStandings asks every other replica, for as long as this one is contact node
// and steers. It ends with the service.
func (s *Service) askStandings() {
	if !s.cfg.Steer || s.deps.Ask == nil {
		return
	}
	for _, a := range s.cfg.Replicas {
		if a != s.cfg.Self {
			s.spawn(func() { s.askStanding(a) })
		}
	}
}

func (s *Service) askStanding(a netip.Addr) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var number uint16
	failed := false
	for {
		select {
		case <-timer.C:
		case <-s.ctx.Done():
			return
		}
		if !s.deps.Address.IsContactNode() {
			if failed || number != 0 { // it is asked anew when it counts again
				number, failed = 0, false
				s.post(func() { s.core.stood(a, 0, errNotAsked) })
			}
			timer.Reset(standingPause)
			continue
		}
		f, n, err := s.askOnce(a, number)
		if s.ctx.Err() != nil {
			return
		}
		s.post(func() { s.core.stood(a, f, err) })
		switch {
		case err == nil:
			number, failed = n, false
			timer.Reset(0)
		default:
			if !failed {
				s.log.Info("no new connections are sent to a replica", "replica", a, "err", err)
			}
			if s.deps.Failed != nil {
				s.deps.Failed(a)
			}
			number, failed = 0, true
			timer.Reset(standingPause)
		}
	}
}

var errNotAsked = errors.New("not asked")

func (s *Service) askOnce(a netip.Addr, seen uint16) (standing, uint16, error) {
	ctx, cancel := context.WithTimeout(s.ctx, standingPatience)
	defer cancel()
	b, err := s.deps.Ask(ctx, a, marshalQuestion(s.cfg.Service, seen))
	if err != nil {
		return 0, 0, err
	}
	return parseStanding(b)
}

package framework

import (
	"context"
	"net/netip"

	"github.com/vanycast/vanycast/handoff"
)

// maxPreparing bounds the preparations under way for one service: each may wait
// for seconds.
const maxPreparing = 256

// prepareAsked: the application knows early where a client will go. It says
// whether it is worth preparing; the client is not changed by it.
func (c *core) prepareAsked(id socketID, k key, target netip.Addr) error {
	cl := c.held(id, k)
	switch {
	case cl == nil:
		return ErrUnknownClient
	case !c.group.knows(target) || target == c.cfg.Self:
		return &HandoffError{cl.remote, target, ErrUnknownReplica}
	case cl.finished:
		return &HandoffError{cl.remote, target, ErrFinished}
	case c.tied(cl):
		return &HandoffError{cl.remote, target, ErrShared}
	case cl.immobile && !c.relays():
		return &HandoffError{cl.remote, target, handoff.ErrNoMobileIPv6}
	}
	return nil
}

// Prepare has a target get ready for a client that the application will soon hand
// off to it, while the client is served on here: a Handoff to that target within
// the next seconds finds all done that can be done ahead. The application goes on
// with the client as if nothing was. The error wraps ErrUnknownClient, ErrClosed,
// or, as a *HandoffError, what a Handoff to that target would say.
func (ss *ServerSocket) Prepare(ctx context.Context, k uint64, target netip.Addr) error {
	s := ss.s
	var client handoff.Client
	var err error
	if cerr := s.call(func() {
		if err = s.core.prepareAsked(ss.id, key(k), target); err != nil {
			return
		}
		client = s.conns[key(k)].client
		if s.preparing >= maxPreparing {
			err = &HandoffError{client.Remote, target, handoff.ErrBusy}
			return
		}
		s.preparing++
	}); cerr != nil {
		return cerr
	}
	if err != nil {
		return err
	}
	defer s.event(func() { s.preparing-- })
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	client.FD = -1 // not needed, and it may be another's by the time
	if err := s.deps.Agent.Prepare(ctx, &client, target); err != nil {
		return &HandoffError{client.Remote, target, err}
	}
	return nil
}

package relay

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/peer"
)

// registration is an update on its way to whoever is the anchor.
type registration struct {
	n       *Node
	own     *own
	request Request
	first   netip.Addr // asked early
	only    bool       // the client is bound there: nobody else is its anchor
	sent    bool       // an anchor may have got it
	anchor  netip.Addr // who answered
}

// run asks the candidates until one of them decides, or ctx ends. An anchor that
// may have got the update is asked until it says what it did, or that it is none,
// or cannot be reached any more: the same update twice is taken once.
func (r *registration) run(ctx context.Context) (Result, error) {
	var errs error
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		nodes, err := r.n.nodes(r.request.Conn, r.first)
		if err != nil {
			return Result{}, r.failed(err)
		}
		errs = nil
		for _, node := range nodes {
			if err := r.n.expect(r.request.Conn, r.own, node); err != nil {
				return Result{}, r.failed(err)
			}
			res, err := r.ask(ctx, node)
			if err == nil && res.Status != mipv6.StatusNotHomeAgent {
				r.anchor = node
				return res, r.n.refusal(node, res)
			}
			if err == nil {
				err = fmt.Errorf("%w: %v is not the contact node", ErrNoAnchor, node)
				if r.only {
					return Result{}, r.failed(err)
				}
				r.n.unbind(r.own, node)
			}
			errs = errors.Join(errs, err)
			if ctx.Err() != nil {
				return Result{}, r.failed(fmt.Errorf("%w: %w", context.Cause(ctx), errs))
			}
		}
		if errs == nil {
			errs = ErrNoAnchor
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return Result{}, r.failed(fmt.Errorf("%w: %w", context.Cause(ctx), errs))
		}
	}
}

// unbind notes that a client is not bound to this anchor any more.
func (n *Node) unbind(o *own, anchor netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if o.anchor == anchor {
		o.bound = false
	}
}

// expect makes ready for packets from a node that is about to be told.
func (n *Node) expect(c Conn, o *own, node netip.Addr) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.owned[c] != o {
		return ErrClosed
	}
	o.settle(node)
	return n.sync(c)
}

// failed says whether anybody may know of the update.
func (r *registration) failed(err error) error {
	if r.sent {
		return err
	}
	return fmt.Errorf("%w (%w)", err, ErrUnsent)
}

// ask tells one node, again as long as its answer is lost.
func (r *registration) ask(ctx context.Context, node netip.Addr) (Result, error) {
	if node == r.n.cfg.Self {
		r.sent = true
		return r.n.decide(r.request), nil
	}
	for {
		res, sent, err := r.n.tell(ctx, node, []Request{r.request})
		if err == nil && res[0].Status == mipv6.StatusNotHomeAgent {
			return res[0], nil // nor has it kept anything of it
		}
		r.sent = r.sent || sent
		if err == nil {
			return res[0], nil
		}
		if !sent || ctx.Err() != nil {
			return Result{}, err
		}
	}
}

// tell makes one call with updates; sent says whether the node may have got it.
func (n *Node) tell(ctx context.Context, node netip.Addr, all []Request) (res []Result, sent bool, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, callTimeout, ErrTimeout)
	defer cancel()
	b, err := n.deps.Peers.Call(ctx, node, peer.KindRelay, marshalUpdates(all[0].Contact.Addr(), all))
	if err == nil {
		res, err = parseResults(b, len(all))
	}
	if err != nil {
		return nil, !unsent(err), fmt.Errorf("tell %v: %w", node, err)
	}
	return res, true, nil
}

// unsent recognises what nobody has worked on.
func unsent(err error) bool {
	var remote *peer.RemoteError
	return errors.Is(err, peer.ErrUnreachable) || errors.As(err, &remote)
}

// nodes are the candidates for a connection.
func (n *Node) nodes(c Conn, first netip.Addr) ([]netip.Addr, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	ct := n.contacts[c.Contact.Addr()]
	switch {
	case n.ctx.Err() != nil:
		return nil, ErrClosed
	case ct == nil:
		return nil, ErrNoContact
	case n.deps.Peers == nil && !ct.active && !n.bound[c.Flow().ClientFlow()]:
		return nil, ErrNoAnchor
	}
	return n.candidates(ct, c, first), nil
}

// refusal makes an error of a result that is not an acceptance.
func (n *Node) refusal(node netip.Addr, res Result) error {
	switch res.Status {
	case mipv6.StatusAccepted:
		return nil
	case mipv6.StatusSequenceOutOfWindow:
		return &SequenceError{node, res.Last}
	}
	return &StatusError{node, res.Status}
}

package peer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// acceptLoop takes TCP connections until the listener is closed.
func (n *Node) acceptLoop() {
	defer n.wg.Done()
	for {
		tcp, err := n.ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			// Out of descriptors or memory: give others time to free some.
			n.cfg.Logger.Warn("peer: accept failed", "on", n.cfg.Listen, "err", err)
			select {
			case <-n.ctx.Done():
				return
			case <-time.After(100 * time.Millisecond):
			}
			continue
		}
		n.admit(tcp)
	}
}

// admit decides, before a byte is read, whether the source is heard at all, and
// starts its handshake.
func (n *Node) admit(tcp net.Conn) {
	remote := addrOf(tcp.RemoteAddr())
	if !n.cfg.Allowed(remote) {
		n.count.refusedNotAllowed.Add(1)
		n.refuse(tcp, remote, errors.New("not a known replica"))
		return
	}
	select {
	case n.shaking <- struct{}{}:
	default:
		n.count.refusedFlood.Add(1)
		n.refuse(tcp, remote, fmt.Errorf("%d handshakes at once", maxHandshakes))
		return
	}
	n.wg.Go(func() {
		defer func() { <-n.shaking }()
		ctx, cancel := context.WithTimeoutCause(n.ctx, n.cfg.ConnectTimeout, fmt.Errorf("no handshake within %v", n.cfg.ConnectTimeout))
		defer cancel()
		if _, err := n.establish(ctx, tcp, remote, false); err != nil {
			n.count.refusedHandshake.Add(1)
			n.refuse(tcp, remote, err)
			return
		}
		n.count.accepted.Add(1)
	})
}

// refuse closes a connection and says so in the log, once per source and
// interval.
func (n *Node) refuse(tcp net.Conn, remote netip.Addr, why error) {
	tcp.Close()
	if n.ctx.Err() == nil && n.refusals.shouldLog(remote, time.Now()) {
		n.cfg.Logger.Warn("peer: connection refused", "from", remote, "err", why)
	}
}

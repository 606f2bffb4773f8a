package main

import (
	"log/slog"
	"syscall"

	"github.com/vanycast/vanycast/handoff"
	"github.com/vanycast/vanycast/tcpcp/firstwindow"
)

// peerWindow is how many segments a connection between two replicas may begin
// with: a busy client's state in one flight, instead of in three round trips while
// nobody serves the client. It is between hosts of one operator, and once for each
// connection.
const peerWindow = 64

// windows chooses what connections begin with, where the kernel lets us.
type windows struct {
	set    handoff.Window // nil where it does not
	logger *slog.Logger
}

// openWindows never fails: without it handoffs are slower, and that is said.
func (d *host) openWindows(closing func(func() error)) *windows {
	w := &windows{logger: d.log}
	setter, err := firstwindow.New()
	if err != nil {
		d.log.Warn("connections that are handed over begin with a new one's congestion window, and are slower for a round trip", "err", err)
		return w
	}
	closing(setter.Close)
	w.set = setter.Set
	return w
}

// peers is for the sockets of the replicas' channel, which works without, too.
func (w *windows) peers(_, _ string, c syscall.RawConn) error {
	if w.set == nil {
		return nil
	}
	var inner error
	err := c.Control(func(fd uintptr) { inner = w.set(int(fd), peerWindow) })
	if err == nil {
		err = inner
	}
	if err != nil {
		w.logger.Debug("peer: first congestion window", "err", err)
	}
	return nil
}

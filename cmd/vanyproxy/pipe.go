package main

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// outcome is what became of one direction.
type outcome struct {
	bytes int64
	err   error
}

// transfer copies both ways until both directions have ended. The end of one is
// passed on as the end of that one only (half-close): a client may finish its
// request with a FIN and still wait for the answer. A direction that fails ends
// the other, too, since nobody is left to talk to.
//
// A side is read only as fast as the other takes the bytes; between two TCP
// sockets they do not even pass through this process (splice).
func transfer(client, server net.Conn) (up, down outcome) {
	var both sync.WaitGroup
	both.Go(func() { up = oneWay(server, client) })
	both.Go(func() { down = oneWay(client, server) })
	both.Wait()
	// The one that was only woken up has nothing to tell.
	switch {
	case up.err != nil && errors.Is(down.err, os.ErrDeadlineExceeded):
		down.err = nil
	case down.err != nil && errors.Is(up.err, os.ErrDeadlineExceeded):
		up.err = nil
	}
	return up, down
}

// oneWay copies from src until it ends and passes the end on to dst.
func oneWay(dst, src net.Conn) outcome {
	n, err := io.Copy(bare(dst), bare(src))
	if err == nil {
		err = closeWrite(dst)
	}
	if err != nil {
		// Wake up the other direction. Deadlines end its reads and writes,
		// and leave the sockets for whoever closes them.
		past := time.Unix(1, 0)
		dst.SetReadDeadline(past)
		src.SetWriteDeadline(past)
	}
	return outcome{n, err}
}

// bare gives the TCP connection inside, which io.Copy needs for splice.
func bare(c net.Conn) net.Conn {
	if w, ok := c.(interface{ NetConn() net.Conn }); ok {
		if inner := w.NetConn(); inner != nil {
			return inner
		}
	}
	return c
}

func closeWrite(c net.Conn) error {
	half, ok := c.(interface{ CloseWrite() error })
	if !ok {
		return c.Close()
	}
	if err := half.CloseWrite(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

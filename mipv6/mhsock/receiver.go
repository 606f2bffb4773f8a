package mhsock

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Room for one packet. A Mobility Header has at most 2048 octets, a
// destination options header as many; an ICMPv6 error has at most 1280.
const (
	dataRoom    = 4096
	controlRoom = 8192
)

// receiver is an endpoint that is read by one goroutine at a time.
type receiver struct {
	*endpoint
	turn    chan struct{} // holds a token when nobody reads
	data    [dataRoom]byte
	control [controlRoom]byte
}

func newReceiver(e *endpoint) *receiver {
	r := &receiver{endpoint: e, turn: make(chan struct{}, 1)}
	r.turn <- struct{}{}
	return r
}

// datagram is what one recvmsg(2) gave. It is valid until the next.
type datagram struct {
	from    netip.Addr
	data    []byte
	control []byte
	whole   bool // nothing was cut off
}

// each calls f with what arrives until f says that it is done, or ctx ends, or
// the socket is closed.
func (r *receiver) each(ctx context.Context, f func(datagram) (done bool)) error {
	select {
	case <-r.turn:
		defer func() { r.turn <- struct{}{} }()
	case <-ctx.Done():
		return ctx.Err()
	}
	release := r.interruptible(ctx)
	defer release()
	for {
		d, err := r.read()
		if err != nil {
			switch {
			case r.closed.Load():
				err = net.ErrClosed
			case ctx.Err() != nil:
				return ctx.Err()
			}
			return fmt.Errorf("mhsock: receive on %s socket: %w", r.name, err)
		}
		if f(d) {
			return nil
		}
	}
}

// interruptible makes the end of ctx end a waiting read, by a deadline that is
// over. The function it returns undoes that for the next reader.
func (r *receiver) interruptible(ctx context.Context) (release func()) {
	var reached sync.WaitGroup
	reached.Add(1)
	stop := context.AfterFunc(ctx, func() {
		defer reached.Done()
		r.file.SetReadDeadline(time.Unix(1, 0)) // fails only when closed
	})
	return func() {
		if !stop() {
			reached.Wait()
			r.file.SetReadDeadline(time.Time{})
		}
	}
}

func (r *receiver) read() (d datagram, err error) {
	var n, cn, flags int
	var from unix.Sockaddr
	cerr := r.conn.Read(func(fd uintptr) bool {
		n, cn, flags, from, err = unix.Recvmsg(int(fd), r.data[:], r.control[:], 0)
		return !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR)
	})
	if cerr != nil {
		return d, cerr
	}
	if err != nil {
		return d, os.NewSyscallError("recvmsg", err)
	}
	d.data, d.control = r.data[:n], r.control[:cn]
	d.whole = flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) == 0
	if a, ok := from.(*unix.SockaddrInet6); ok {
		d.from = netip.AddrFrom16(a.Addr)
	}
	return d, nil
}

package rawsock

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Datagram is what one recvmsg(2) gave. It is valid until the next.
type Datagram struct {
	From    netip.Addr
	Data    []byte // without the IPv6 header and its extensions
	Control []byte // ancillary data, for unix.ParseSocketControlMessage
	Whole   bool   // nothing was cut off
}

// Each calls f with what arrives until f says that it is done, or ctx ends
// (ctx's error), or the socket is closed (net.ErrClosed). One caller at a time
// reads, the others wait.
func (s *Socket) Each(ctx context.Context, f func(Datagram) (done bool)) error {
	select {
	case <-s.turn:
		defer func() { s.turn <- struct{}{} }()
	case <-ctx.Done():
		return ctx.Err()
	}
	release := s.interruptible(ctx)
	defer release()
	for {
		d, err := s.read()
		if err != nil {
			if ctx.Err() != nil && !s.closed.Load() {
				return ctx.Err()
			}
			return fmt.Errorf("receive on %s socket: %w", s.name, s.closedOr(err))
		}
		if f(d) {
			return nil
		}
	}
}

// interruptible makes the end of ctx end a waiting read, by a deadline that is
// over. The function it returns undoes that for the next reader.
func (s *Socket) interruptible(ctx context.Context) (release func()) {
	var reached sync.WaitGroup
	reached.Add(1)
	stop := context.AfterFunc(ctx, func() {
		defer reached.Done()
		s.file.SetReadDeadline(time.Unix(1, 0)) // fails only when closed
	})
	return func() {
		if !stop() {
			reached.Wait()
			s.file.SetReadDeadline(time.Time{})
		}
	}
}

func (s *Socket) read() (d Datagram, err error) {
	var n, cn, flags int
	var from unix.Sockaddr
	cerr := s.conn.Read(func(fd uintptr) bool {
		n, cn, flags, from, err = unix.Recvmsg(int(fd), s.data, s.oob, 0)
		return !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR)
	})
	if cerr != nil {
		return d, cerr
	}
	if err != nil {
		return d, os.NewSyscallError("recvmsg", err)
	}
	d.Data, d.Control = s.data[:n], s.oob[:cn]
	d.Whole = flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) == 0
	if a, ok := from.(*unix.SockaddrInet6); ok {
		d.From = netip.AddrFrom16(a.Addr)
	}
	return d, nil
}

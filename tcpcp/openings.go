package tcpcp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Openings tells of connections that are opened to a local address: of each SYN
// that arrives. A buried connection swallows also the SYN of its successor, where
// the client's host takes the same port again soon; whoever keeps it buried learns
// so from here that it is in the way. The client repeats its SYN.
//
// SYNs are cheap to send, so they are looked at only so fast; those that find no
// room are not told.
type Openings struct {
	local netip.Addr
	file  *os.File // a raw socket for TCP headers, in Go's poller
	done  chan struct{}
}

const (
	tcpHeader    = 20      // bytes, without options
	tcpFlags     = 13      // where the flags are
	openingsRoom = 1 << 16 // bytes for SYNs not looked at yet

	// After so many SYNs at once there is a pause.
	openingsBurst = 64
	openingsPause = 10 * time.Millisecond
)

// onlySYN keeps what has SYN set and neither FIN, RST nor ACK (RFC 9293 §3.1), and
// of that the fixed header. A raw IPv6 socket's filter sees no IPv6 header.
var onlySYN = []unix.SockFilter{
	{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: tcpFlags},
	{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: 0x17},
	{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: 0x02, Jf: 1},
	{Code: unix.BPF_RET | unix.BPF_K, K: tcpHeader},
	{Code: unix.BPF_RET | unix.BPF_K, K: 0},
}

// WatchOpenings begins to tell of connections opened to a local address, in the
// calling thread's network namespace, until Close. It needs CAP_NET_RAW. While it
// watches, the kernel shows it every segment to the address, which costs each a
// little: it is for when something is buried.
func WatchOpenings(local netip.Addr, opened func(FourTuple)) (*Openings, error) {
	fail := func(call string, err error) (*Openings, error) {
		return nil, fmt.Errorf("tcpcp: watch connections to %s: %s: %w", local, call, err)
	}
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_TCP)
	if err != nil {
		return fail("socket", err)
	}
	o := &Openings{local: local, file: os.NewFile(uintptr(fd), "openings "+local.String()), done: make(chan struct{})}
	// The filter comes before the address: nothing else shall ever be queued.
	program := unix.SockFprog{Len: uint16(len(onlySYN)), Filter: &onlySYN[0]}
	for _, step := range []struct {
		call string
		do   func() error
	}{
		{"SO_ATTACH_FILTER", func() error { return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program) }},
		{"SO_RCVBUF", func() error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, openingsRoom) }},
		{"IPV6_FREEBIND", func() error { return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_FREEBIND, 1) }},
		{"bind", func() error { return unix.Bind(fd, &unix.SockaddrInet6{Addr: local.As16()}) }},
	} {
		if err := step.do(); err != nil {
			o.file.Close()
			return fail(step.call, err)
		}
	}
	raw, err := o.file.SyscallConn()
	if err != nil {
		o.file.Close()
		return fail("poller", err)
	}
	go o.run(raw, opened)
	return o, nil
}

// Close ends the watch; nothing is told after it.
func (o *Openings) Close() error {
	err := o.file.Close()
	<-o.done
	return err
}

func (o *Openings) run(raw syscall.RawConn, opened func(FourTuple)) {
	defer close(o.done)
	b := make([]byte, tcpHeader)
	for {
		burst := 0
		err := raw.Read(func(fd uintptr) bool {
			for ; burst < openingsBurst; burst++ {
				n, from, err := unix.Recvfrom(int(fd), b, 0)
				if errors.Is(err, unix.EAGAIN) {
					return burst > 0
				}
				if t, ok := o.tuple(b[:max(n, 0)], from); err == nil && ok {
					opened(t)
				}
			}
			return true
		})
		if err != nil { // closed
			return
		}
		if burst == openingsBurst {
			time.Sleep(openingsPause)
		}
	}
}

// tuple is the connection that a segment's header belongs to.
func (o *Openings) tuple(header []byte, from unix.Sockaddr) (FourTuple, bool) {
	sa, ok := from.(*unix.SockaddrInet6)
	if !ok || len(header) < tcpHeader {
		return FourTuple{}, false
	}
	return FourTuple{
		Local:  netip.AddrPortFrom(o.local, binary.BigEndian.Uint16(header[2:])),
		Remote: netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), binary.BigEndian.Uint16(header)),
	}, true
}

// Package rawsock drives raw IPv6 sockets with the runtime's poller: reads end
// with a context or with Close, writes never wait.
package rawsock

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Socket is one raw IPv6 socket. It is safe for concurrent use.
type Socket struct {
	name string
	file *os.File
	conn syscall.RawConn
	turn chan struct{} // holds a token when nobody reads
	data []byte
	oob  []byte
	// closed, because conn reports a closed file by an error that the os
	// package keeps to itself.
	closed atomic.Bool
}

// Room for one packet: a Mobility Header has at most 2048 octets, an extension
// header that comes with it as many; an ICMPv6 error at most 1280.
const (
	dataRoom    = 4096
	controlRoom = 8192
)

// Open opens a socket in the network namespace of the calling thread. name is
// for errors; setup sets options before anything is received.
func Open(name string, protocol int, setup func(fd int) error) (*Socket, error) {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return nil, fmt.Errorf("open %s socket: %w", name, os.NewSyscallError("socket", err))
	}
	if err := setup(fd); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("set up %s socket: %w", name, err)
	}
	// NewFile gives a non-blocking descriptor to the poller, so that Close and
	// deadlines end a waiting read.
	file := os.NewFile(uintptr(fd), name)
	conn, err := file.SyscallConn()
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("set up %s socket: %w", name, err)
	}
	s := &Socket{name: name, file: file, conn: conn, turn: make(chan struct{}, 1),
		data: make([]byte, dataRoom), oob: make([]byte, controlRoom)}
	s.turn <- struct{}{}
	return s, nil
}

// Close ends every Each with net.ErrClosed.
func (s *Socket) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	return s.file.Close()
}

// Control runs f on the descriptor, for options that change later.
func (s *Socket) Control(f func(fd int) error) error {
	var err error
	if cerr := s.conn.Control(func(fd uintptr) { err = f(int(fd)) }); cerr != nil {
		return s.closedOr(cerr)
	}
	return err
}

// Send sends one packet from src, which the route is looked up for, to dst, in
// whose zone (an interface's name or index) it leaves. What the socket cannot take at once is an error.
func (s *Socket) Send(b []byte, src, dst netip.Addr) error { return s.SendMarked(b, src, dst, 0) }

// SendMarked is Send of a packet that the kernel's rules and policies know by a
// mark, unless it is 0 (SO_MARK; it needs CAP_NET_ADMIN).
func (s *Socket) SendMarked(b []byte, src, dst netip.Addr, mark uint32) error {
	control := unix.PktInfo6(&unix.Inet6Pktinfo{Addr: src.As16()})
	if mark != 0 {
		control = append(control, markControl(mark)...)
	}
	to := &unix.SockaddrInet6{Addr: dst.As16()}
	if zone := dst.Zone(); zone != "" {
		i, err := zoneIndex(zone)
		if err != nil {
			return err
		}
		to.ZoneId = i
	}
	var err error
	// The function says that it is done at the first try: no waiting.
	if cerr := s.conn.Write(func(fd uintptr) bool {
		err = unix.Sendmsg(int(fd), b, control, to, 0)
		return true
	}); cerr != nil {
		return s.closedOr(cerr)
	}
	return os.NewSyscallError("sendmsg", err)
}

// markControl is a control message that has the socket mark of one packet.
func markControl(mark uint32) []byte {
	b := make([]byte, unix.CmsgSpace(4))
	h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
	h.Level, h.Type = unix.SOL_SOCKET, unix.SO_MARK
	h.SetLen(unix.CmsgLen(4))
	binary.NativeEndian.PutUint32(b[unix.CmsgLen(0):], mark)
	return b
}

func zoneIndex(zone string) (uint32, error) {
	if n, err := strconv.ParseUint(zone, 10, 31); err == nil {
		return uint32(n), nil
	}
	i, err := net.InterfaceByName(zone)
	if err != nil {
		return 0, err
	}
	return uint32(i.Index), nil
}

func (s *Socket) closedOr(err error) error {
	if s.closed.Load() {
		return net.ErrClosed
	}
	return err
}

package framework

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vanycast/vanycast/handoff"
)

// Adopt makes a connection that the application has a client of this service:
// an established TCP connection whose local address is the contact address. The
// service owns the descriptor, also after an error, which wraps ErrNotAdoptable
// or ErrClosed. It gives the client's Key and ID.
func (ss *ServerSocket) Adopt(fd int, state []byte) (k, id uint64, err error) {
	err = ss.s.adoptable(fd)
	if err == nil {
		var ck key
		if cerr := ss.s.call(func() { ck, id, err = ss.adopt(fd, state) }); cerr != nil {
			err = cerr
		}
		k = uint64(ck)
	}
	if err != nil {
		unix.Close(fd)
	}
	return k, id, err
}

// adopt is the event.
func (ss *ServerSocket) adopt(fd int, state []byte) (key, uint64, error) {
	s := ss.s
	if s.closing {
		return 0, 0, ErrClosed
	}
	local, err := unix.Getsockname(fd)
	if err != nil {
		return 0, 0, fmt.Errorf("%w: %w", ErrNotAdoptable, os.NewSyscallError("getsockname", err))
	}
	remote, err := unix.Getpeername(fd)
	if err != nil {
		return 0, 0, fmt.Errorf("%w: %w", ErrNotAdoptable, os.NewSyscallError("getpeername", err))
	}
	now, id := time.Now(), newID()
	k, err := s.core.adopted(now, ss.id, id, addrPort(local), addrPort(remote))
	if err != nil {
		return 0, 0, err
	}
	s.conns[k] = &conn{client: handoff.Client{
		ID: id, Service: s.cfg.Service, Local: addrPort(local), Remote: addrPort(remote), FD: fd, State: state, Since: now,
	}}
	s.guard(fd, k)
	return k, id, nil
}

// adoptable says why a descriptor cannot be a client of this service.
func (s *Service) adoptable(fd int) error {
	refuse := func(format string, args ...any) error {
		return fmt.Errorf("%w: %w", ErrNotAdoptable, fmt.Errorf(format, args...))
	}
	domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil {
		return refuse("SO_DOMAIN: %w", err)
	}
	proto, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PROTOCOL)
	if err != nil {
		return refuse("SO_PROTOCOL: %w", err)
	}
	if domain != unix.AF_INET6 || proto != unix.IPPROTO_TCP {
		return refuse("family %d, protocol %d, not TCP over IPv6", domain, proto)
	}
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return refuse("TCP_INFO: %w", err)
	}
	if info.State != unix.BPF_TCP_ESTABLISHED && info.State != unix.BPF_TCP_CLOSE_WAIT {
		return refuse("TCP state %d", info.State)
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return refuse("getsockname: %w", err)
	}
	if got := addrPort(sa).Addr(); got != s.cfg.Contact.Addr() {
		return refuse("local address %v, contact address %v", got, s.cfg.Contact.Addr())
	}
	cookie, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	if err != nil {
		return refuse("SO_NETNS_COOKIE: %w", err)
	}
	if cookie != s.ln.netns {
		return refuse("another network namespace")
	}
	return nil
}

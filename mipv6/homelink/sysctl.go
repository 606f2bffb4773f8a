package homelink

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// sysctls are the three values that the role needs changed. The files are
// opened once: /proc/sys/net shows the network namespace of who opens it, and
// goroutines wander.
type sysctls struct {
	files []*os.File
}

// settings are values of the sysctls, in their order.
type settings [3]uint32

// wanted: forwarding on, proxy neighbour discovery on, and answered at once.
// The proxy is that of all interfaces, and not of the home link's alone, for only
// then the kernel takes a solicitation that was sent to the proxied address
// itself; on other interfaces there is nothing to answer for. (Without
// proxy_delay 0 the kernel waits up to proxy_delay so that a true owner may be first, but a
// home agent is the owner for as long as the binding lives).
var wanted = settings{1, 1, 0}

func openSysctls(iface string) (*sysctls, error) {
	s := &sysctls{}
	for _, path := range []string{
		"/proc/sys/net/ipv6/conf/all/forwarding",
		"/proc/sys/net/ipv6/conf/all/proxy_ndp",
		"/proc/sys/net/ipv6/neigh/" + iface + "/proxy_delay",
	} {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return nil, errors.Join(err, s.close())
		}
		s.files = append(s.files, f)
	}
	return s, nil
}

func (s *sysctls) close() error {
	var errs []error
	for _, f := range s.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

func (s *sysctls) get() (v settings, err error) {
	for i, f := range s.files {
		var b [32]byte
		n, err := f.ReadAt(b[:], 0)
		if n == 0 {
			return v, fmt.Errorf("read %s: %w", f.Name(), err)
		}
		u, err := strconv.ParseUint(strings.TrimSpace(string(b[:n])), 10, 32)
		if err != nil {
			return v, fmt.Errorf("read %s: %w", f.Name(), err)
		}
		v[i] = uint32(u)
	}
	return v, nil
}

// set changes only what differs: writing forwarding has effects on every
// interface even where the value is the same.
func (s *sysctls) set(v settings) error {
	now, err := s.get()
	if err != nil {
		return err
	}
	for i, f := range s.files {
		if now[i] == v[i] {
			continue
		}
		if _, err := f.WriteAt([]byte(strconv.FormatUint(uint64(v[i]), 10)), 0); err != nil {
			return fmt.Errorf("set %s to %d: %w", f.Name(), v[i], err)
		}
	}
	return nil
}

// A memo is an address of the discard-only prefix that holds the old settings,
// so that they survive a crash.
const (
	memoForwarding = 8
	memoProxy      = 9
	memoDelay      = 10
	memoMark       = 14
)

var (
	memoPrefix = netip.MustParsePrefix("100::/64")
	markBytes  = [2]byte{'v', 'c'}
)

func memo(v settings) netip.Addr {
	a := memoPrefix.Addr().As16()
	a[memoForwarding], a[memoProxy] = byte(v[0]), byte(v[1])
	binary.BigEndian.PutUint32(a[memoDelay:], v[2])
	copy(a[memoMark:], markBytes[:])
	return netip.AddrFrom16(a)
}

func fromMemo(addr netip.Addr) (v settings, ok bool) {
	a := addr.As16()
	if !memoPrefix.Contains(addr) || [2]byte(a[memoMark:]) != markBytes {
		return v, false
	}
	return settings{uint32(a[memoForwarding]), uint32(a[memoProxy]), binary.BigEndian.Uint32(a[memoDelay:])}, true
}

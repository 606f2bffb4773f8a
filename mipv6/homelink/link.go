package homelink

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/vanycast/vanycast/mipv6/internal/rawsock"
)

// Link is the home link, seen through one interface. Its methods are safe for
// concurrent use. It needs CAP_NET_ADMIN and CAP_NET_RAW.
type Link struct {
	iface   *net.Interface
	log     *slog.Logger
	mu      sync.Mutex // serialises neigh, guards watched and closed
	neigh   *neighbours
	sysctls *sysctls
	before  settings
	socket  *rawsock.Socket // neighbour discovery
	queries *rawsock.Socket // what mobile nodes ask
	watched map[netip.Addr]bool
	closed  bool

	linkLocal netip.Addr
}

// Open takes hold of the home link in the network namespace of the calling
// thread, after it has removed what a dead process left there.
func Open(iface string, logger *slog.Logger) (*Link, error) {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	l := &Link{log: logger, watched: make(map[netip.Addr]bool)}
	if err := l.open(iface); err != nil {
		return nil, fmt.Errorf("homelink: %s: %w", iface, errors.Join(err, l.Close()))
	}
	return l, nil
}

func (l *Link) open(name string) (err error) {
	if l.iface, err = net.InterfaceByName(name); err != nil {
		return err
	}
	conn, err := netlink.Dial(unix.NETLINK_ROUTE, nil)
	if err != nil {
		return fmt.Errorf("open netlink socket: %w", err)
	}
	l.neigh = &neighbours{conn: conn, index: l.iface.Index}
	if l.socket, err = openSocket(l.iface.Name); err != nil {
		return err
	}
	if l.queries, err = openQueries(); err != nil {
		return err
	}
	// Enabling forwarding below does not change it, and asking the kernel in
	// another thread's namespace would.
	l.linkLocal = linkLocalOf(l.iface)
	s, err := openSysctls(l.iface.Name)
	if err != nil {
		return err
	}
	old, err := s.get()
	if err == nil {
		old, err = l.recover(old)
	}
	if err != nil {
		return errors.Join(err, s.close())
	}
	// From here on Close has something to put back.
	l.sysctls, l.before = s, old
	if err := l.neigh.add(memo(old)); err != nil {
		return err
	}
	return s.set(wanted)
}

// recover removes the proxy entries of a dead process, and tells the settings
// that it found.
func (l *Link) recover(current settings) (settings, error) {
	left, err := l.neigh.ours()
	if err != nil {
		return current, err
	}
	for _, a := range left {
		if v, ok := fromMemo(a); ok {
			current = v
		}
		if err := l.neigh.remove(a); err != nil {
			return current, err
		}
	}
	if len(left) > 0 {
		l.log.Info("removed what a dead process left on the home link", "interface", l.iface.Name, "entries", len(left))
	}
	return current, nil
}

// Index is the interface's index.
func (l *Link) Index() int { return l.iface.Index }

// HardwareAddr is the interface's link-layer address, empty where it has none.
func (l *Link) HardwareAddr() net.HardwareAddr { return l.iface.HardwareAddr }

// AddProxy has the kernel answer for the address on the home link.
func (l *Link) AddProxy(a netip.Addr) error {
	return l.change(func() error { return l.neigh.add(a) })
}

// RemoveProxy ends that. It succeeds if it was not so.
func (l *Link) RemoveProxy(a netip.Addr) error {
	return l.change(func() error { return l.neigh.remove(a) })
}

func (l *Link) change(f func() error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return fmt.Errorf("homelink: %w", net.ErrClosed)
	}
	if err := f(); err != nil {
		return fmt.Errorf("homelink: %s: %w", l.iface.Name, err)
	}
	return nil
}

// Close removes every proxy entry of ours and puts the sysctls back.
func (l *Link) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	var errs []error
	for _, s := range []*rawsock.Socket{l.socket, l.queries} {
		if s != nil {
			errs = append(errs, s.Close())
		}
	}
	if l.sysctls != nil {
		left, err := l.neigh.ours()
		errs = append(errs, err, l.sysctls.set(l.before))
		for _, a := range left { // the memo goes last: until then a crash can be recovered from
			if _, ok := fromMemo(a); !ok {
				errs = append(errs, l.neigh.remove(a))
			}
		}
		errs = append(errs, l.neigh.remove(memo(l.before)), l.sysctls.close())
	}
	if l.neigh != nil {
		errs = append(errs, l.neigh.conn.Close())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("homelink: close %s: %w", l.iface.Name, err)
	}
	return nil
}

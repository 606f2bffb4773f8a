package lab

import (
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// LinkOption changes how a link is made.
type LinkOption func(*link)

type link struct {
	names [2]string
	mtu   int
	wire  bool
	to    string // the second host
	delay time.Duration
}

// Names names the two interfaces; the default is eth0, eth1… on each host.
func Names(a, b string) LinkOption { return func(l *link) { l.names = [2]string{a, b} } }

// MTU sets the link's MTU in bytes; the default is 1500.
func MTU(bytes int) LinkOption { return func(l *link) { l.mtu = bytes } }

// Wire makes the link carry what a real wire would: every segment in a packet
// of its own with a finished checksum. Without it veth hands on superpackets
// (GSO, GRO) with checksums left to hardware that is not there: faster, but a
// capture of it cannot be judged.
func Wire() LinkOption { return func(l *link) { l.wire = true } }

// Link joins two hosts by a veth pair (or Delayed), both ends up, and returns the
// names of the interfaces.
func (n *Net) Link(a, b *Host, opts ...LinkOption) (ifaceA, ifaceB string) {
	n.tb.Helper()
	l := link{mtu: 1500, to: b.name}
	for _, o := range opts {
		o(&l)
	}
	for i, h := range []*Host{a, b} {
		if l.names[i] == "" {
			l.names[i] = fmt.Sprintf("eth%d", h.links)
			h.links++
		}
	}
	if l.delay > 0 {
		if err := n.join(a, b, &l); err != nil {
			n.tb.Fatalf("lab: delayed link: %v", err)
		}
		for i, h := range []*Host{a, b} {
			h.Up(l.names[i])
		}
		return l.names[0], l.names[1]
	}
	if err := veth(a, b, l.names, l.mtu); err != nil {
		n.tb.Fatalf("lab: link of %s and %s: %v", a.name, b.name, err)
	}
	for i, h := range []*Host{a, b} {
		if l.wire {
			if err := h.Do(func() error { return offloadsOff(l.names[i]) }); err != nil {
				n.tb.Fatalf("lab: offloads of %s on %s: %v", l.names[i], h.name, err)
			}
		}
		h.Up(l.names[i])
	}
	return l.names[0], l.names[1]
}

// offloadsOff does what `ethtool -K IFACE tx off tso off gso off gro off`
// does, in the calling thread's namespace.
func offloadsOff(iface string) error {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	defer unix.Close(fd)
	for _, feature := range []struct {
		name    string
		command uint32
	}{
		{"generic segmentation", unix.ETHTOOL_SGSO},
		{"generic receive", unix.ETHTOOL_SGRO},
		{"TCP segmentation", unix.ETHTOOL_STSO},
		{"transmit checksum", unix.ETHTOOL_STXCSUM},
	} {
		value := struct{ command, data uint32 }{command: feature.command}
		request := struct {
			name [unix.IFNAMSIZ]byte
			data unsafe.Pointer
			_    [16]byte // struct ifreq is 40 bytes
		}{data: unsafe.Pointer(&value)}
		copy(request.name[:unix.IFNAMSIZ-1], iface)
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request)))
		if errno != 0 {
			return fmt.Errorf("%s offload off: %w", feature.name, errno)
		}
	}
	return nil
}

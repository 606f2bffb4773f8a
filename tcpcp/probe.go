package tcpcp

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Probe says whether this process can move connections on this kernel: nil, or
// one line that names what is missing, with the kernel's reason wrapped. Where
// the kernel has XFRM's user interface as a module, Probe makes it load.
func Probe() error {
	fd, err := newSocket()
	if err != nil {
		return fmt.Errorf("tcpcp: IPv6 TCP sockets (CONFIG_IPV6): %w", err)
	}
	defer closeFD(fd)
	if err := optRepair.set(fd, unix.TCP_REPAIR_ON); err != nil {
		return missing("TCP_REPAIR (Linux 3.5)", err)
	}
	if err := probePolicy(fd); err != nil {
		return missing("XFRM policies of a socket (CONFIG_XFRM_USER and, for IPv6, CONFIG_XFRM)", err)
	}
	if err := unblock(fd); err != nil {
		return missing("removing a socket's XFRM policies (Linux 4.13)", err)
	}
	if _, err := getWindow(fd); err != nil {
		return missing("TCP_REPAIR_WINDOW (Linux 4.8)", err)
	}
	if _, err := optTimestamp.get(fd); err != nil {
		return missing("TCP_TIMESTAMP (Linux 3.9)", err)
	}
	if _, err := getInfo(fd); err != nil {
		return missing("tcpi_notsent_bytes (Linux 4.6)", err)
	}
	if _, err := getMemory(fd); err != nil {
		return missing("SO_MEMINFO (Linux 4.12)", err)
	}
	return nil
}

// probePolicy sets a policy. Without anybody who understands it the kernel says
// EINVAL; a netlink socket of XFRM's family loads xfrm_user, if it is a module.
func probePolicy(fd int) error {
	err := block(fd, xfrmPolicyOut)
	if !isErrno(err, unix.EINVAL) {
		return err
	}
	nl, nlErr := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_XFRM)
	if nlErr != nil {
		return errors.Join(err, &callError{"socket NETLINK_XFRM", nlErr})
	}
	unix.Close(nl)
	return block(fd, xfrmPolicyOut)
}

func missing(what string, err error) error {
	if isErrno(err, unix.EPERM) {
		return fmt.Errorf("tcpcp: CAP_NET_ADMIN is missing for %s: %w", what, err)
	}
	return fmt.Errorf("tcpcp: this kernel lacks %s: %w", what, err)
}

package main

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vanycast/vanycast/relay"
)

// What the kernel has of a client's connections and no application has been given: those
// whose handshake is not over, and those that wait in a listener's queue. The kernel tells
// by NETLINK_SOCK_DIAG (CONFIG_INET_DIAG, CONFIG_INET_TCP_DIAG), and finds them for us by a
// filter (include/uapi/linux/inet_diag.h).

const (
	sockDiagByFamily = 20 // SOCK_DIAG_BY_FAMILY
	diagReqLen       = 56 // struct inet_diag_req_v2
	diagMsgLen       = 72 // struct inet_diag_msg
	diagByteCode     = 1  // INET_DIAG_REQ_BYTECODE
	diagSource       = 7  // INET_DIAG_BC_S_COND
	diagDestination  = 8  // INET_DIAG_BC_D_COND
	diagCondLen      = 28 // struct inet_diag_bc_op, struct inet_diag_hostcond, an address

	tcpEstablished, tcpSynRecv, tcpCloseWait = 1, 3, 8

	// maxPending bounds what is taken: whoever writes SYNs in the client's name makes more.
	maxPending = 64
	// pendingTimeout bounds the waiting for the kernel, which answers at once.
	pendingTimeout = 500 * time.Millisecond
)

// pending are the connections of a client with a contact address that no application has.
func pending(contact, client netip.Addr) ([]relay.Conn, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_INET_DIAG)
	if err != nil {
		return nil, fmt.Errorf("ask the kernel for connections: %w", os.NewSyscallError("socket", err))
	}
	defer unix.Close(fd)
	tv := unix.NsecToTimeval(pendingTimeout.Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv); err != nil {
		return nil, fmt.Errorf("ask the kernel for connections: %w", os.NewSyscallError("setsockopt SO_RCVTIMEO", err))
	}
	if err := unix.Sendto(fd, pendingRequest(contact, client), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, fmt.Errorf("ask the kernel for connections of %v: %w", client, os.NewSyscallError("sendto", err))
	}
	var all []relay.Conn
	buf := make([]byte, 32<<10)
	for {
		n, _, err := unix.Recvfrom(fd, buf, 0)
		if err != nil {
			return all, fmt.Errorf("ask the kernel for connections of %v: %w", client, os.NewSyscallError("recvfrom", err))
		}
		found, over, err := parsePending(buf[:n], contact, client)
		all = append(all, found...)
		if err != nil {
			return all, fmt.Errorf("ask the kernel for connections of %v: %w", client, err)
		}
		if over || len(all) >= maxPending {
			return all[:min(len(all), maxPending)], nil
		}
	}
}

// pendingRequest asks for the TCP sockets between two addresses in the states that matter.
func pendingRequest(contact, client netip.Addr) []byte {
	order := binary.NativeEndian
	b := make([]byte, unix.NLMSG_HDRLEN+diagReqLen, 256)
	order.PutUint16(b[4:], sockDiagByFamily)
	order.PutUint16(b[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	b[16], b[17] = unix.AF_INET6, unix.IPPROTO_TCP
	order.PutUint32(b[20:], 1<<tcpEstablished|1<<tcpSynRecv|1<<tcpCloseWait)
	b = order.AppendUint16(b, 4+2*diagCondLen)
	b = order.AppendUint16(b, diagByteCode)
	left := uint16(2 * diagCondLen)
	for _, cond := range []struct {
		code byte
		addr netip.Addr
	}{{diagSource, contact}, {diagDestination, client}} {
		b = append(b, cond.code, diagCondLen) // the next if it holds, else beyond the end: no
		b = order.AppendUint16(b, left+4)
		b = append(b, unix.AF_INET6, 128, 0, 0)
		b = order.AppendUint32(b, ^uint32(0)) // any port
		b = append(b, cond.addr.AsSlice()...)
		left -= diagCondLen
	}
	order.PutUint32(b, uint32(len(b)))
	return b
}

// parsePending reads one datagram of the answer; over: it was the last.
func parsePending(b []byte, contact, client netip.Addr) (all []relay.Conn, over bool, err error) {
	order := binary.NativeEndian
	for len(b) >= unix.NLMSG_HDRLEN {
		length, kind := int(order.Uint32(b)), order.Uint16(b[4:])
		if length < unix.NLMSG_HDRLEN || length > len(b) {
			return all, true, fmt.Errorf("netlink message of %d octets in %d", length, len(b))
		}
		m := b[unix.NLMSG_HDRLEN:length]
		b = b[min(len(b), (length+3)&^3):]
		switch {
		case kind == unix.NLMSG_DONE:
			return all, true, nil
		case kind == unix.NLMSG_ERROR:
			if len(m) < 4 {
				return all, true, fmt.Errorf("netlink error of %d octets", len(m))
			}
			if errno := int32(order.Uint32(m)); errno != 0 {
				return all, true, unix.Errno(-errno)
			}
			return all, true, nil
		case kind != sockDiagByFamily:
			continue
		case len(m) < diagMsgLen:
			return all, true, fmt.Errorf("inet_diag message of %d octets", len(m))
		}
		src, dst := netip.AddrFrom16([16]byte(m[8:24])), netip.AddrFrom16([16]byte(m[24:40]))
		// One with an inode belongs to somebody: it was accepted, or a handoff left it.
		if m[0] != unix.AF_INET6 || src != contact || dst != client || order.Uint32(m[68:]) != 0 {
			continue
		}
		all = append(all, relay.Conn{
			Contact: netip.AddrPortFrom(src, binary.BigEndian.Uint16(m[4:])),
			Client:  netip.AddrPortFrom(dst, binary.BigEndian.Uint16(m[6:])),
		})
	}
	return all, false, nil
}

// pending is the anycast side's, which can do without.
func (r *replica) pending(contact, client netip.Addr) []relay.Conn {
	all, err := pending(contact, client)
	if err != nil {
		r.d.log.Warn("connections that are about to come in are not known", "contact", contact, "client", client, "err", err)
	}
	return all
}

package homelink

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// protocol marks what vanycast puts into the kernel (rtm_protocol); the data
// plane's routes have the same.
const protocol = 145

// A struct ndmsg (linux/neighbour.h), in host byte order.
const (
	ndmsgFamily  = 0
	ndmsgIndex   = 4
	ndmsgState   = 8
	ndmsgFlags   = 10
	ndmsgLen     = 12
	ndaProtocol  = 12 // NDA_PROTOCOL, which golang.org/x/sys/unix has not
	addressBytes = 16
)

// neighbours is a netlink socket for the proxy entries of one interface.
type neighbours struct {
	conn  *netlink.Conn
	index int
}

func (n *neighbours) add(a netip.Addr) error {
	err := n.change(unix.RTM_NEWNEIGH, netlink.Create|netlink.Replace, a)
	if err != nil {
		return fmt.Errorf("add proxy entry for %v: %w", a, err)
	}
	return nil
}

// remove succeeds if there is none.
func (n *neighbours) remove(a netip.Addr) error {
	err := n.change(unix.RTM_DELNEIGH, 0, a)
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("remove proxy entry for %v: %w", a, err)
	}
	return nil
}

func (n *neighbours) change(typ netlink.HeaderType, flags netlink.HeaderFlags, a netip.Addr) error {
	attributes := netlink.NewAttributeEncoder()
	address := a.As16()
	attributes.Bytes(unix.NDA_DST, address[:])
	attributes.Uint8(ndaProtocol, protocol)
	encoded, err := attributes.Encode()
	if err != nil {
		return err
	}
	m := n.header()
	// Permanent, or it would go when the interface loses its carrier.
	binary.NativeEndian.PutUint16(m[ndmsgState:], unix.NUD_PERMANENT)
	_, err = n.conn.Execute(netlink.Message{
		Header: netlink.Header{Type: typ, Flags: netlink.Request | netlink.Acknowledge | flags},
		Data:   append(m, encoded...),
	})
	return err
}

// header is a struct ndmsg for proxy entries of the interface.
func (n *neighbours) header() []byte {
	m := make([]byte, ndmsgLen)
	m[ndmsgFamily] = unix.AF_INET6
	binary.NativeEndian.PutUint32(m[ndmsgIndex:], uint32(n.index))
	m[ndmsgFlags] = unix.NTF_PROXY
	return m
}

// ours are the interface's proxy entries that have our mark.
func (n *neighbours) ours() ([]netip.Addr, error) {
	m := n.header()
	messages, err := n.conn.Execute(netlink.Message{
		Header: netlink.Header{Type: unix.RTM_GETNEIGH, Flags: netlink.Request | netlink.Dump},
		Data:   m,
	})
	if err != nil {
		return nil, fmt.Errorf("list proxy entries: %w", err)
	}
	var found []netip.Addr
	for _, got := range messages {
		if got.Header.Type != unix.RTM_NEWNEIGH || len(got.Data) < ndmsgLen || got.Data[ndmsgFlags]&unix.NTF_PROXY == 0 ||
			got.Data[ndmsgFamily] != unix.AF_INET6 || int(binary.NativeEndian.Uint32(got.Data[ndmsgIndex:])) != n.index {
			continue
		}
		a, mine, err := entry(got.Data[ndmsgLen:])
		if err != nil {
			return nil, fmt.Errorf("list proxy entries: %w", err)
		}
		if mine {
			found = append(found, a)
		}
	}
	return found, nil
}

func entry(attributes []byte) (a netip.Addr, mine bool, err error) {
	d, err := netlink.NewAttributeDecoder(attributes)
	if err != nil {
		return a, false, err
	}
	for d.Next() {
		switch d.Type() {
		case unix.NDA_DST:
			if b := d.Bytes(); len(b) == addressBytes {
				a = netip.AddrFrom16([addressBytes]byte(b))
			}
		case ndaProtocol:
			mine = d.Uint8() == protocol
		}
	}
	return a, mine && a.IsValid(), d.Err()
}

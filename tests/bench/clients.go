package main

import (
	"context"
	"net"
	"net/netip"
	"time"

	"github.com/vanycast/vanycast/tests/lab"
)

// strangers gives modern so many addresses that no replica knows of. A client's
// address has one binding for all its connections, and RFC 6275 allows few
// updates a second of it, so many clients need many addresses.
func strangers(n *lab.ThesisNet, count int) []netip.Addr {
	modern := site("modern")
	addresses := make([]netip.Addr, count)
	bytes := modern.Prefix.Addr().As16()
	bytes[13] = 1
	for i := range addresses {
		bytes[14], bytes[15] = byte(i>>8), byte(i)
		addresses[i] = netip.AddrFrom16(bytes)
		n.Modern.Addr("eth0", netip.PrefixFrom(addresses[i], modern.Prefix.Bits()))
	}
	return addresses
}

// dialTimeout is beyond every bound of the daemons.
const dialTimeout = 10 * time.Second

// dial connects from a host, and from an address of it unless that is not valid.
func dial(ctx context.Context, h *lab.Host, from netip.Addr, to netip.AddrPort) (conn net.Conn, err error) {
	d := net.Dialer{Timeout: dialTimeout}
	d.SetMultipathTCP(false)
	if from.IsValid() {
		d.LocalAddr = &net.TCPAddr{IP: from.AsSlice()}
	}
	err = h.Do(func() (err error) { conn, err = d.DialContext(ctx, "tcp", to.String()); return err })
	return conn, err
}

package tcpcp

import (
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"
)

// acknowledge sends the server, in the client's name, an acknowledgement of so
// many more bytes than the client's own socket has received.
func (c *connection) acknowledge(t testing.TB, more int) {
	t.Helper()
	c.craft(t, 0, more)
}

// finish sends the server a FIN in the client's name.
func (c *connection) finish(t testing.TB) {
	t.Helper()
	c.craft(t, flagFIN, 0)
}

// craft sends a segment without data, with the sequence numbers of the client's
// socket.
func (c *connection) craft(t testing.TB, flags byte, more int) {
	t.Helper()
	var seq, ack uint32
	var port uint16
	control(t, c.client, func(fd int) error {
		tuple, err := tupleOf(fd)
		if err != nil {
			return err
		}
		port = tuple.Local.Port()
		if err := optRepair.set(fd, unix.TCP_REPAIR_ON); err != nil {
			return err
		}
		if seq, err = seqOf(fd, sendQueue); err != nil {
			return err
		}
		if ack, err = seqOf(fd, recvQueue); err != nil {
			return err
		}
		return optRepair.set(fd, unix.TCP_REPAIR_OFF_NO_WP)
	})
	h := make([]byte, 20)
	binary.BigEndian.PutUint16(h[0:], port)
	binary.BigEndian.PutUint16(h[2:], serverPort)
	binary.BigEndian.PutUint32(h[4:], seq)
	binary.BigEndian.PutUint32(h[8:], ack+uint32(more))
	h[12] = byte(len(h) / 4 << 4)
	h[13] = 0x10 | flags // ACK
	binary.BigEndian.PutUint16(h[14:], 0xffff)
	var err error
	do(t, c.testLab.client, func() { err = sendRaw(h) })
	if err != nil {
		t.Fatal(err)
	}
}

// sendRaw sends a TCP header from the client to the server; the kernel fills the
// checksum in.
func sendRaw(h []byte) error {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_CHECKSUM, 16); err != nil {
		return err
	}
	if err := unix.Bind(fd, &unix.SockaddrInet6{Addr: clientAddr.As16()}); err != nil {
		return err
	}
	return unix.Sendto(fd, h, 0, &unix.SockaddrInet6{Addr: serverAddr.As16()})
}

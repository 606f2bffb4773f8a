package vanycast

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/vanycast/vanycast/api/wire"
)

// maxHeader bounds the daemon's answer to the upgrade, in bytes.
const maxHeader = 8 << 10

// dial begins a session: it connects, asks for the upgrade, and says what was
// refused. It gives the contact address along.
func dial(ctx context.Context, socket, service string, req wire.ListenRequest) (*wire.Session, netip.AddrPort, error) {
	fail := func(err error) (*wire.Session, netip.AddrPort, error) {
		return nil, netip.AddrPort{}, fmt.Errorf("vanycast: listen for %q at %s: %w", service, socket, err)
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return fail(err)
	}
	conn := c.(*net.UnixConn)
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	contact, err := upgrade(conn, service, req)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		conn.Close()
		if ctx.Err() != nil {
			err = errors.Join(ctx.Err(), err)
		}
		return fail(err)
	}
	return wire.NewSession(conn), contact, nil
}

// upgrade makes a session of a fresh connection.
func upgrade(conn *net.UnixConn, service string, req wire.ListenRequest) (netip.AddrPort, error) {
	body, err := json.Marshal(req)
	if err != nil {
		return netip.AddrPort{}, err
	}
	r, err := http.NewRequest(http.MethodPost, "http://vanycast"+wire.ListenPath(url.PathEscape(service)), bytes.NewReader(body))
	if err != nil {
		return netip.AddrPort{}, err
	}
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", wire.Protocol)
	r.Header.Set("Content-Type", "application/json")
	if err := r.Write(conn); err != nil {
		return netip.AddrPort{}, err
	}
	head, err := readHeader(conn)
	if err != nil {
		return netip.AddrPort{}, err
	}
	// Whatever body there is comes from the connection itself.
	resp, err := http.ReadResponse(bufio.NewReader(io.MultiReader(bytes.NewReader(head), conn)), r)
	if err != nil {
		return netip.AddrPort{}, err
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		var e wire.Error
		if json.NewDecoder(io.LimitReader(resp.Body, wire.MaxBody)).Decode(&e) == nil && e.Error != "" {
			return netip.AddrPort{}, fmt.Errorf("refused (%d): %s", resp.StatusCode, e.Error)
		}
		return netip.AddrPort{}, fmt.Errorf("refused: %s", resp.Status)
	}
	if got := resp.Header.Get("Upgrade"); got != wire.Protocol {
		return netip.AddrPort{}, fmt.Errorf("daemon speaks %q, not %q", got, wire.Protocol)
	}
	contact, err := netip.ParseAddrPort(resp.Header.Get(wire.HeaderContact))
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("header %s: %w", wire.HeaderContact, err)
	}
	return contact, nil
}

// readHeader reads up to the empty line and not a byte more: what follows are
// frames, and their descriptors would be lost.
func readHeader(conn *net.UnixConn) ([]byte, error) {
	var head []byte
	b := make([]byte, 1)
	for !bytes.HasSuffix(head, []byte("\r\n\r\n")) {
		if len(head) == maxHeader {
			return nil, errors.New("answer too long")
		}
		if _, err := io.ReadFull(conn, b); err != nil {
			return nil, fmt.Errorf("answer: %w", err)
		}
		head = append(head, b[0])
	}
	return head, nil
}

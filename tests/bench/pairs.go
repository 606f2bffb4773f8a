package main

import (
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// pair is a connection of this host with itself.
type pair struct{ client, server int }

const movePort = 7001

// connectPairs makes the connections that reference/bare.c makes: the client
// takes in little, so that what the server wrote stays in its queue, and the
// server reads nothing.
func connectPairs(queued int) (pairs []*pair, err error) {
	address := &unix.SockaddrInet6{Port: movePort, Addr: netip.MustParseAddr(moveAddress).As16()}
	listener, err := unix.Socket(unix.AF_INET6, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	defer unix.Close(listener)
	if err := unix.SetsockoptInt(listener, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return nil, err
	}
	if err := unix.Bind(listener, address); err != nil {
		return nil, fmt.Errorf("bind: %w", err)
	}
	if err := unix.Listen(listener, moveConnections); err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	for range moveConnections {
		p, err := connectPair(listener, address, queued)
		if err != nil {
			return pairs, err
		}
		pairs = append(pairs, p)
	}
	return pairs, nil
}

func connectPair(listener int, address unix.Sockaddr, queued int) (*pair, error) {
	client, err := unix.Socket(unix.AF_INET6, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	if err := unix.SetsockoptInt(client, unix.SOL_SOCKET, unix.SO_RCVBUF, 4096); err != nil {
		return nil, err
	}
	if err := unix.Connect(client, address); err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	server, _, err := unix.Accept4(listener, unix.SOCK_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("accept: %w", err)
	}
	for _, option := range []int{unix.SO_SNDBUFFORCE, unix.SO_RCVBUFFORCE} {
		if err := unix.SetsockoptInt(server, unix.SOL_SOCKET, option, queued+128<<10); err != nil {
			return nil, err
		}
	}
	for _, fd := range []int{client, server} {
		if n, err := unix.Write(fd, make([]byte, queued)); err != nil || n < queued {
			return nil, fmt.Errorf("%d of %d bytes queued: %w", n, queued, err)
		}
	}
	return &pair{client: client, server: server}, nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"
)

// proxy joins each client to a connection of its own to the application
// server.
type proxy struct {
	backend  string // host:port of the application server
	dialers  int    // connections to it that may be on their way at once
	dialTime time.Duration
	grace    time.Duration // for clients that are served when the proxy ends
	log      *slog.Logger
}

// serve distributes no clients itself: those that ln gives are this replica's.
// It returns nil when ctx ends, after all clients have left or the grace time
// is over; otherwise what was wrong with ln.
func (p *proxy) serve(ctx context.Context, ln net.Listener) error {
	// Joints outlive ctx by the grace time.
	joints, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	stop := context.AfterFunc(ctx, func() { ln.Close() })
	defer stop()

	var all sync.WaitGroup
	dialing := make(chan struct{}, p.dialers)
	err := p.accept(ctx, ln, dialing, func(client net.Conn) {
		all.Go(func() { p.join(joints, client, func() { <-dialing }) })
	})

	gone := make(chan struct{})
	go func() { all.Wait(); close(gone) }()
	if ctx.Err() != nil {
		select {
		case <-gone:
		case <-time.After(p.grace):
			p.log.Info("clients cut off", "after", p.grace)
		}
	}
	cut()
	<-gone
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// accept starts a joint for each client. While too many connections to the
// application server are under way it takes no more: the daemon then offers the
// clients to other replicas.
func (p *proxy) accept(ctx context.Context, ln net.Listener, dialing chan<- struct{}, start func(net.Conn)) error {
	for {
		select {
		case dialing <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		client, err := ln.Accept()
		if err != nil {
			return fmt.Errorf("accept: %w", err)
		}
		start(client)
	}
}

// join serves one client until both sides have ended or ctx does.
func (p *proxy) join(ctx context.Context, client net.Conn, dialed func()) {
	log := p.log.With("client", client.RemoteAddr().String())
	log.Info("new client")
	defer client.Close() // in order: the daemon sees to that

	d := net.Dialer{Timeout: p.dialTime}
	d.SetMultipathTCP(false)
	server, err := d.DialContext(ctx, "tcp", p.backend)
	dialed()
	if err != nil {
		log.Warn("application server not reached, client closed", "err", err)
		return
	}
	defer server.Close()
	log.Debug("connected to the application server", "from", server.LocalAddr().String(), "to", server.RemoteAddr().String())
	stop := context.AfterFunc(ctx, func() { client.Close(); server.Close() })
	defer stop()

	up, down := transfer(client, server)
	level := slog.LevelInfo
	err = errors.Join(up.err, down.err)
	if err != nil && ctx.Err() == nil {
		level = slog.LevelWarn
	}
	log.Log(ctx, level, "client left", "bytes_up", up.bytes, "bytes_down", down.bytes, "err", err)
}

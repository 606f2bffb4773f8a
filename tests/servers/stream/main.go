// Command stream is the server of the bulk transfer test: it sends a known
// stream and hashes what the client sends, both at once, and hands the client
// to another replica every so many received bytes, in the middle of it all.
//
//	stream -seed N -size BYTES -every BYTES [-steady] [-next ADDRESS [-ahead BYTES]]
//
// With -steady it sends a kilobyte each millisecond, instead of all it can. With
// -next it hands to that replica, instead of to whom the policy says, and with
// -ahead has that replica prepare itself so many received bytes before.
// When the client has ended its side and all is sent, the client is told the
// hash of what the servers received, and how many they were.
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"net/netip"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/vanycast/vanycast"
	"github.com/vanycast/vanycast/tests/stream"
)

// job is what every client gets.
type job struct {
	seed  uint64
	size  int64 // bytes to send
	every int64 // received bytes between handoffs; 0: none
	pace  stream.Pace
	next  netip.Addr // the replica to hand to; not valid: any
	ahead int64      // received bytes between preparing a handoff and that; 0: not prepared

	wanted sync.Map // *vanycast.Conn → netip.Addr: where an operator wants it
}

// want ends the reading from a client that an operator wants elsewhere.
func (j *job) want(c *vanycast.Conn, target netip.Addr) {
	j.wanted.Store(c, target)
	if err := c.SetReadDeadline(time.Unix(1, 0)); err != nil {
		j.wanted.Delete(c)
	}
}

func main() {
	var j job
	flag.Uint64Var(&j.seed, "seed", 1, "which stream to send")
	flag.Int64Var(&j.size, "size", 1<<20, "how many bytes of it")
	flag.Int64Var(&j.every, "every", 0, "hand off after so many received bytes")
	flag.TextVar(&j.next, "next", netip.Addr{}, "the `ADDRESS` of the replica to hand to")
	flag.Int64Var(&j.ahead, "ahead", 0, "prepare so many received bytes before")
	steady := flag.Bool("steady", false, "send a kilobyte each millisecond")
	service := flag.String("service", "stream", "name of the service")
	flag.Parse()
	j.pace = stream.Bulk
	if *steady {
		j.pace = stream.Steady
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	ln, err := vanycast.Listen(ctx, *service, vanycast.WithHandoffRequests(j.want))
	if err != nil {
		log.Fatal(err)
	}
	context.AfterFunc(ctx, func() { _ = ln.Close() })
	for {
		c, err := ln.AcceptConn()
		if err != nil {
			if ctx.Err() != nil {
				return
			}
			log.Fatal(err)
		}
		go func() {
			if err := j.serve(c); err != nil {
				log.Printf("client %v: %v", c.RemoteAddr(), err)
			}
		}()
	}
}

// serve goes on with a client until it is finished or handed off.
func (j *job) serve(c *vanycast.Conn) error {
	p, err := resume(c.State())
	if err != nil {
		return errors.Join(err, c.Close())
	}
	p.Servers++
	for {
		finished, err := j.exchange(c, p)
		if err != nil {
			return errors.Join(err, c.Close())
		}
		if finished {
			return farewell(c, p)
		}
		state, err := p.marshal()
		if err != nil {
			return errors.Join(err, c.Close())
		}
		c.SetState(state)
		to := j.next
		if target, ok := j.wanted.LoadAndDelete(c); ok {
			to = target.(netip.Addr)
		}
		err = c.Handoff(context.Background(), to)
		if err == nil {
			return nil
		}
		log.Printf("client %v: stays: %v", c.RemoteAddr(), err)
	}
}

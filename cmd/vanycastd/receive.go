package main

import (
	"context"
	"time"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/mhsock"
)

// receive gives the roles what comes in over the socket that they share, until
// the function that it returns is called.
func (d *host) receive(start func(string, func(context.Context) error) func()) (stop func()) {
	stopMessages := start("mobility headers", func(ctx context.Context) error {
		limit := mhsock.NewLimiter()
		return mhsock.Each(ctx, d.mh.Receive, func(m mhsock.Received) bool {
			handled := d.message(m)
			if !handled {
				d.refuse(m, limit)
			}
			return handled
		})
	})
	stopErrors := start("ICMPv6 errors", func(ctx context.Context) error {
		return mhsock.Each(ctx, d.mh.ReceiveError, func(e mhsock.ICMPError) bool {
			return d.replica != nil && d.replica.anycast.HandleICMP(e) ||
				d.correspondent != nil && d.correspondent.HandleICMP(e)
		})
	})
	return func() { stopMessages(); stopErrors() }
}

// message offers a Mobility Header to the roles; false if none of them wants it.
func (d *host) message(m mhsock.Received) bool {
	switch {
	case d.homeAgent != nil && d.homeAgent.HandleMH(m):
	case d.replica != nil && d.replica.anycast.HandleMH(m):
	case d.correspondent != nil && d.correspondent.HandleMH(m):
	default:
		return false
	}
	return true
}

// refuse answers a message that is nobody's as RFC 6275 §9.2 wants, if at all.
func (d *host) refuse(m mhsock.Received, limit *mhsock.Limiter) {
	_, err := mipv6.Parse(m.Message)
	if err == nil {
		d.signalling.unclaimed.Add(1)
		return
	}
	d.signalling.malformed.Add(1)
	p := mhsock.Refusal(m, err)
	if p == nil || !limit.Allow(time.Now(), p.Dst) {
		return
	}
	if err := d.mh.Send(p); err != nil {
		d.log.Debug("refusal not sent", "to", p.Dst, "err", err)
		return
	}
	d.signalling.answered.Add(1)
}

package rr

import (
	"crypto/subtle"
	"fmt"
	"io"
	"time"

	"github.com/vanycast/vanycast/mipv6"
)

// exchange is one Init message and its retransmissions (RFC 6275 §11.8): the
// wait doubles from INITIAL_BINDACK_TIMEOUT to MAX_BINDACK_TIMEOUT, and each
// retransmission has a new cookie. An answer to any of them will do: a slow path
// must not make the run deaf to an answer that is on its way.
type exchange struct {
	tries   int
	cookies []mipv6.Cookie
	wait    time.Duration
	due     time.Time // when the next transmission, or the end, is due
	done    bool
}

// send makes the cookie of a transmission now.
func (e *exchange) send(now time.Time, rand io.Reader) (mipv6.Cookie, error) {
	var c mipv6.Cookie
	if _, err := io.ReadFull(rand, c[:]); err != nil {
		return c, fmt.Errorf("rr: make cookie: %w", err)
	}
	e.cookies = append(e.cookies, c)
	if e.wait == 0 {
		e.wait = mipv6.InitialBindackTimeout
	} else {
		e.wait = min(2*e.wait, mipv6.MaxBindackTimeout)
	}
	e.due = now.Add(e.wait)
	return c, nil
}

// answered takes a cookie that came back: true if it is one of ours.
func (e *exchange) answered(c mipv6.Cookie) bool {
	if e.done {
		return false
	}
	e.done = e.match(c)
	return e.done
}

// match compares a cookie with all of ours, in constant time.
func (e *exchange) match(c mipv6.Cookie) bool {
	match := 0
	for _, own := range e.cookies {
		match |= subtle.ConstantTimeCompare(own[:], c[:])
	}
	return match == 1
}

func (e *exchange) waiting() bool { return !e.done && len(e.cookies) > 0 }

// spent reports whether the last try's wait is over too.
func (e *exchange) spent(now time.Time) bool {
	return e.waiting() && len(e.cookies) >= e.tries && !now.Before(e.due)
}

// retransmit reports whether another transmission is due.
func (e *exchange) retransmit(now time.Time) bool {
	return e.waiting() && len(e.cookies) < e.tries && !now.Before(e.due)
}

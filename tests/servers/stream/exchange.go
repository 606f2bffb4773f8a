package main

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log"
	"os"
	"time"

	"github.com/vanycast/vanycast"
	"github.com/vanycast/vanycast/tests/stream"
)

const chunk = 64 << 10 // received at once

// exchange sends and receives at once until it is time for a handoff, or all
// is done. Both directions have stopped when it returns, and p counts exactly
// what went through the socket.
func (j *job) exchange(c *vanycast.Conn, p *progress) (finished bool, err error) {
	if err := c.SetDeadline(time.Time{}); err != nil {
		return false, err
	}
	sent := make(chan error, 1)
	go func() { sent <- j.send(c, p) }()
	receiveErr := j.receive(c, p)
	if !p.Ended || receiveErr != nil {
		// A handoff, or the end: the sender stops wherever it is.
		if err := c.SetWriteDeadline(time.Unix(1, 0)); err != nil {
			receiveErr = errors.Join(receiveErr, err)
		}
	}
	sendErr := <-sent
	if errors.Is(sendErr, os.ErrDeadlineExceeded) {
		sendErr = nil
	}
	if errors.Is(receiveErr, os.ErrDeadlineExceeded) {
		receiveErr = nil // wanted elsewhere
	}
	return p.Ended && p.Sent == j.size, errors.Join(receiveErr, sendErr)
}

// send sends the rest of the stream.
func (j *job) send(c *vanycast.Conn, p *progress) error {
	source := stream.New(j.seed, p.Sent)
	b := make([]byte, j.pace.Chunk)
	for ; p.Sent < j.size; j.pace.Wait(p.Sent) {
		part := b[:min(int64(len(b)), j.size-p.Sent)]
		_, _ = source.Read(part) // cannot fail
		n, err := c.Write(part)
		p.Sent += int64(n)
		if err != nil {
			return err
		}
	}
	return nil
}

// receive hashes what comes, up to the next handoff or the client's end.
func (j *job) receive(c *vanycast.Conn, p *progress) error {
	until := int64(1<<62 - 1)
	if j.every > 0 {
		until = (p.Received/j.every + 1) * j.every
	}
	b := make([]byte, chunk)
	prepared := j.ahead == 0 || j.every == 0
	for !p.Ended && p.Received < until {
		if _, wanted := j.wanted.Load(c); wanted {
			return nil
		}
		n, err := c.Read(b[:min(chunk, until-p.Received)])
		p.hash.Write(b[:n])
		p.Received += int64(n)
		if !prepared && p.Received >= until-j.ahead {
			prepared = true
			go func() {
				if err := c.PrepareHandoff(context.Background(), j.next); err != nil {
					log.Printf("client %v: %v", c.RemoteAddr(), err)
				}
			}()
		}
		if errors.Is(err, io.EOF) {
			p.Ended = true
		} else if err != nil {
			return err
		}
	}
	return nil
}

// farewell tells the client the hash of what it sent and the number of
// servers, and closes.
func farewell(c *vanycast.Conn, p *progress) error {
	b := binary.BigEndian.AppendUint64(p.hash.Sum(nil), uint64(p.Servers))
	_, err := c.Write(b)
	return errors.Join(err, c.Close())
}

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vanycast/vanycast/tests/lab"
)

// watch is what the links saw: a capture of each end host's link, taken at the
// router.
type watch struct {
	captures map[string]*lab.Capture // by host
}

// watched are the hosts whose segments are counted: each segment is sent on
// the link of one of them first.
var watched = append(lab.Replicas(), "modern", "legacy")

func watchLinks(n *lab.ThesisNet) (*watch, error) {
	w := &watch{captures: map[string]*lab.Capture{}}
	for _, name := range watched {
		c, err := n.Router.Capture(name)
		if err != nil {
			return nil, err
		}
		w.captures[name] = c
	}
	return w, nil
}

func (w *watch) stop() error {
	var errs []error
	for _, c := range w.captures {
		errs = append(errs, c.Stop())
	}
	return errors.Join(errs...)
}

// judge looks for what must not be on any link.
func (w *watch) judge(ctx context.Context) error {
	frames := 0
	var errs []error
	for _, name := range watched {
		c := w.captures[name]
		n, err := c.Count(ctx, "")
		if err != nil {
			return err
		}
		frames += n
		problems, err := c.Problems(ctx)
		if err != nil {
			return err
		}
		for _, p := range problems {
			errs = append(errs, fmt.Errorf("on the link of %s: %s", name, p))
		}
	}
	if len(errs) == 0 {
		fmt.Printf("tshark read %d frames of the links: no reset, no malformed packet, no bad checksum\n", frames)
	}
	return errors.Join(errs...)
}

// segment is a TCP segment with data as its sender sent it.
type segment struct {
	at         time.Time
	client     string // its port: the clients' ports differ
	fromClient bool
	seq, len   uint32
	stamp      uint32 // the TCP timestamp
}

// packet identifies a segment that is seen on several links, since one replica
// sends it on for another. Sent again, it has another timestamp.
func (s segment) packet() segment {
	s.at = time.Time{}
	return s
}

// lost counts, for each handoff, the segments of its client that had to be
// sent again between it and the client's next handoff. A segment counts as
// sent again if it begins below what its sender, wherever that was, had sent
// before.
func (w *watch) lost(ctx context.Context, handoffs []handoff) ([]int, error) {
	var segments []segment
	for name, c := range w.captures {
		s, err := sentBy(ctx, name, c)
		if err != nil {
			return nil, err
		}
		segments = append(segments, s...)
	}
	return countLost(segments, handoffs), nil
}

// countLost does it for the segments of all links.
func countLost(segments []segment, handoffs []handoff) []int {
	slices.SortStableFunc(segments, func(a, b segment) int { return a.at.Compare(b.at) })
	type stream struct {
		client     string
		fromClient bool
	}
	next := map[stream]uint32{} // the sequence number after all that was sent
	lost := make([]int, len(handoffs))
	seen := map[segment]bool{}
	for _, s := range segments {
		if p := s.packet(); p.stamp != 0 {
			if seen[p] {
				continue
			}
			seen[p] = true
		}
		key := stream{s.client, s.fromClient}
		end, known := next[key]
		if again := known && int32(s.seq-end) < 0; again {
			if i := lastBefore(handoffs, s); i >= 0 {
				lost[i]++
			}
		}
		if after := s.seq + s.len; !known || int32(after-end) > 0 {
			next[key] = after
		}
	}
	return lost
}

// lastBefore finds the client's last handoff that had begun when the segment
// was sent; -1 if there was none.
func lastBefore(handoffs []handoff, s segment) int {
	last := -1
	for i, h := range handoffs {
		if _, port, ok := cutPort(h.Client); ok && port == s.client && !h.started.After(s.at) {
			last = i
		}
	}
	return last
}

func cutPort(address string) (host, port string, ok bool) {
	i := strings.LastIndexByte(address, ':')
	if i < 0 {
		return "", "", false
	}
	return address[:i], address[i+1:], true
}

// sentBy reads the segments that the host on this link sent: a client's have
// our port as destination, a replica's as source.
func sentBy(ctx context.Context, host string, c *lab.Capture) ([]segment, error) {
	filter, fromClient, portField := "tcp.srcport in {4000, 4001}", false, "tcp.dstport"
	if host == "modern" || host == "legacy" {
		filter, fromClient, portField = "tcp.dstport in {4000, 4001}", true, "tcp.srcport"
	}
	rows, err := c.Fields(ctx, filter+" && tcp.len > 0 && !icmpv6", "frame.time_epoch", portField, "tcp.seq_raw", "tcp.len", "tcp.options.timestamp.tsval")
	if err != nil {
		return nil, err
	}
	segments := make([]segment, 0, len(rows))
	for _, row := range rows {
		epoch, err1 := strconv.ParseFloat(row[0], 64)
		seq, err2 := strconv.ParseUint(row[2], 10, 32)
		length, err3 := strconv.ParseUint(row[3], 10, 32)
		stamp, err4 := uint64(0), error(nil)
		if len(row) > 4 && row[4] != "" { // not every connection has the option
			stamp, err4 = strconv.ParseUint(row[4], 10, 32)
		}
		if err := cmp.Or(err1, err2, err3, err4); err != nil {
			return nil, fmt.Errorf("tshark's row %q: %w", row, err)
		}
		segments = append(segments, segment{
			at:     time.UnixMicro(int64(epoch * 1e6)),
			client: row[1], fromClient: fromClient,
			seq: uint32(seq), len: uint32(length), stamp: uint32(stamp),
		})
	}
	return segments, nil
}

package lab

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
)

// Display filters, in tshark's language, for what must never be seen.
const (
	// FilterReset is a TCP reset.
	FilterReset = "tcp.flags.reset == 1"
	// FilterMalformed is whatever a dissector could not make sense of.
	FilterMalformed = "_ws.malformed"
	// FilterBadChecksum is a wrong checksum of any protocol we send; only for
	// captures of links made with Wire, whole packets. Those of Mobility
	// Headers tshark 4.0 does not verify; Problems does. A TCP checksum of
	// 0xffff that should be 0x0000 is right in ones' complement: the kernel
	// writes it so when it computes in software (skb_checksum_help).
	FilterBadChecksum = `(tcp.checksum.status == "Bad" && !tcp.checksum.ffff) || udp.checksum.status == "Bad" || icmpv6.checksum.status == "Bad"`
)

// Frames are the frames of the capture that match a display filter (all for
// ""), one line each, in tshark's summary form.
func (c *Capture) Frames(ctx context.Context, filter string) ([]string, error) {
	return c.tshark(ctx, filter)
}

// Count counts the frames that match a display filter.
func (c *Capture) Count(ctx context.Context, filter string) (int, error) {
	rows, err := c.Fields(ctx, filter, "frame.number")
	return len(rows), err
}

// Fields prints fields of the frames that match a display filter: one row for
// each frame, one string for each field (its values comma-separated).
func (c *Capture) Fields(ctx context.Context, filter string, fields ...string) ([][]string, error) {
	args := []string{"-T", "fields", "-E", "separator=/t", "-E", "occurrence=a"}
	for _, f := range fields {
		args = append(args, "-e", f)
	}
	lines, err := c.tshark(ctx, filter, args...)
	if err != nil {
		return nil, err
	}
	rows := make([][]string, len(lines))
	for i, line := range lines {
		rows[i] = strings.Split(line, "\t")
	}
	return rows, nil
}

// Excuse says that resets which a filter finds are no problem.
func (c *Capture) Excuse(filter string) { c.excused = filter }

// Problems are the frames that no capture of ours may hold: malformed ones,
// bad checksums (those of Mobility Headers included) and resets. An empty list
// is the good answer.
func (c *Capture) Problems(ctx context.Context) ([]string, error) {
	problems, err := c.tshark(ctx, c.problem(), opaque()...)
	if err != nil {
		return nil, err
	}
	mobility, err := c.badMobility()
	return append(problems, mobility...), err
}

// opaque: what applications send is theirs. tshark would take random bytes for one of
// many protocols (Q.931 was seen) and find that malformed.
func opaque() []string { return []string{"-d", "tcp.port==1-65535,data"} }

// problem is the filter of Problems.
func (c *Capture) problem() string {
	reset := FilterReset
	if c.excused != "" {
		reset = fmt.Sprintf("%s && !(%s)", reset, c.excused)
	}
	return fmt.Sprintf("(%s) || (%s) || (%s)", FilterMalformed, FilterBadChecksum, reset)
}

// Judge has tshark read the capture once: how many frames match each display filter
// (without a comma), which sees no protocol above TCP; and Problems.
func (c *Capture) Judge(ctx context.Context, filters ...string) (counts []int, problems []string, err error) {
	filters = append(slices.Clone(filters), c.problem())
	lines, err := c.tshark(ctx, "", append(opaque(), "-q", "-z", "io,stat,0,"+strings.Join(filters, ","))...)
	if err != nil {
		return nil, nil, err
	}
	counts = make([]int, len(filters))
	for _, line := range lines {
		cells := strings.Split(line, "|")
		if !strings.Contains(line, "<>") { // an empty capture has no such line
			continue
		}
		if len(cells) < 2*len(filters)+2 { // a wide legend adds an empty one
			return nil, nil, fmt.Errorf("lab: tshark -r %s: %d filters, and it says %q", c.path, len(filters), line)
		}
		for i := range counts {
			if counts[i], err = strconv.Atoi(strings.TrimSpace(cells[2+2*i])); err != nil {
				return nil, nil, fmt.Errorf("lab: tshark -r %s: it says %q: %w", c.path, line, err)
			}
		}
	}
	last := len(counts) - 1
	if counts[last] > 0 {
		problems, err = c.Problems(ctx)
	} else {
		problems, err = c.badMobility()
	}
	return counts[:last], problems, err
}

// tshark reads the capture with all checksums verified.
func (c *Capture) tshark(ctx context.Context, filter string, args ...string) ([]string, error) {
	argv := append([]string{"-n", "-r", c.path,
		"-o", "tcp.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE",
		// Nothing of ours spans frames, and reassembly would hide a bad one.
		"-o", "tcp.desegment_tcp_streams:FALSE",
	}, append(c.decryption(), args...)...)
	if filter != "" {
		argv = append(argv, "-Y", filter)
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, "tshark", argv...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("lab: tshark -r %s -Y %q: %w: %s", c.path, filter, err, strings.TrimSpace(stderr.String()))
	}
	text := strings.TrimRight(string(out), "\n")
	if text == "" {
		return nil, nil
	}
	return strings.Split(text, "\n"), nil
}

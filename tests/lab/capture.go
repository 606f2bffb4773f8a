package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Capture is a tcpdump on one interface of a host, into a file.
type Capture struct {
	host    *Host
	process *Process
	path    string
	dropped int
	stopped bool
	esp     []Association
	excused string // a filter for resets that are no problem
}

// CaptureOption changes what is captured.
type CaptureOption func(*capture)

type capture struct {
	snaplen int
	filter  string
}

// Snaplen keeps only the first bytes of each packet; such a capture cannot be
// judged for checksums.
func Snaplen(bytes int) CaptureOption { return func(c *capture) { c.snaplen = bytes } }

// Filter captures only what this pcap-filter(7) expression matches.
func Filter(expression string) CaptureOption { return func(c *capture) { c.filter = expression } }

// Capture starts a capture on an interface ("any" for all) and returns when
// tcpdump truly listens. It writes HOST-IFACE.pcap in the laboratory's
// directory.
func (h *Host) Capture(iface string, opts ...CaptureOption) (*Capture, error) {
	settings := capture{}
	for _, o := range opts {
		o(&settings)
	}
	name := fmt.Sprintf("%s-%s", h.name, iface)
	path := filepath.Join(h.net.dir, name+".pcap")
	for i := 2; ; i++ {
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
			break
		}
		path = filepath.Join(h.net.dir, fmt.Sprintf("%s-%d.pcap", name, i))
	}
	// -Z root: Debian's tcpdump otherwise gives up root and cannot write here.
	argv := []string{"tcpdump", "-n", "-U", "--immediate-mode", "-B", "32768", "-Z", "root", "-i", iface, "-w", path}
	if settings.snaplen > 0 {
		argv = append(argv, "-s", strconv.Itoa(settings.snaplen))
	}
	if settings.filter != "" {
		argv = append(argv, settings.filter)
	}
	p, err := h.Start(argv, LogName(filepath.Base(path)+".log"))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err = WaitFor(ctx, func() error {
		if strings.Contains(p.Tail(5), "listening on") {
			return nil
		}
		return fmt.Errorf("tcpdump on %s does not listen yet", name)
	})
	if err != nil {
		return nil, errors.Join(err, errors.New(p.Tail(5)), p.Stop())
	}
	return &Capture{host: h, process: p, path: path}, nil
}

// Stop ends the capture once tcpdump has written all it saw so far. A capture
// in which the kernel dropped packets is an error: nothing can be concluded
// from it.
func (c *Capture) Stop() error {
	if c.stopped {
		return nil
	}
	c.stopped = true
	c.settle()
	if err := c.process.Signal(syscall.SIGINT); err != nil {
		return fmt.Errorf("lab: capture %s: %w", c.path, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopPatience)
	defer cancel()
	if err := c.process.Wait(ctx); err != nil {
		return fmt.Errorf("lab: capture %s: %w: %s", c.path, err, c.process.Tail(5))
	}
	if m := regexp.MustCompile(`(\d+) packets dropped by kernel`).FindStringSubmatch(c.process.Tail(5)); m != nil {
		c.dropped, _ = strconv.Atoi(m[1])
	}
	if c.dropped > 0 {
		return fmt.Errorf("lab: capture %s: the kernel dropped %d packets", c.path, c.dropped)
	}
	return nil
}

// settle waits until the file has stopped growing: tcpdump throws away what
// waits in its ring when the signal comes.
func (c *Capture) settle() {
	last, still := int64(-1), 0
	for range 200 {
		if info, err := os.Stat(c.path); err == nil {
			if info.Size() == last {
				still++
			} else {
				last, still = info.Size(), 0
			}
		}
		if still >= 3 {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

package lab

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Delayed makes the link delay every frame that long, each way, on kernels
// without netem, too: the two ends are TAP interfaces, and this process carries
// the frames between them. It is for some thousand frames a second.
func Delayed(oneWay time.Duration) LinkOption { return func(l *link) { l.delay = oneWay } }

// DelayedTo does so for the links that end at these hosts.
func DelayedTo(oneWay map[string]time.Duration) LinkOption {
	return func(l *link) { l.delay = oneWay[l.to] }
}

// delayLine carries frames from one end to the other, in their order.
type delayLine struct {
	from, to *os.File
	delay    time.Duration
	frames   chan delayedFrame
}

type delayedFrame struct {
	due  time.Time
	data []byte
}

// Of a delay line: what does not fit is lost, as on any link.
const (
	delayedFrames  = 1 << 14
	delayedLongest = 1 << 16
)

// join makes the two ends of a delayed link.
func (n *Net) join(a, b *Host, l *link) error {
	var ends [2]*os.File
	for i, h := range []*Host{a, b} {
		err := h.Do(func() (err error) { ends[i], err = openTAP(l.names[i]); return err })
		if err != nil {
			return errors.Join(fmt.Errorf("TAP %s on %s: %w", l.names[i], h.name, err), closeEnds(ends))
		}
		h.IP("link", "set", l.names[i], "mtu", fmt.Sprint(l.mtu))
	}
	var wg sync.WaitGroup
	for i := range ends {
		line := &delayLine{from: ends[i], to: ends[1-i], delay: l.delay, frames: make(chan delayedFrame, delayedFrames)}
		wg.Go(line.read)
		wg.Go(line.write)
	}
	n.delayed = append(n.delayed, func() error {
		err := closeEnds(ends)
		wg.Wait()
		return err
	})
	return nil
}

func closeEnds(ends [2]*os.File) error {
	var errs []error
	for _, f := range ends {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}

// openTAP makes an interface in the calling thread's namespace.
func openTAP(name string) (*os.File, error) {
	const device = "/dev/net/tun"
	fd, err := unix.Open(device, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("opening %s (CONFIG_TUN): %w", device, err)
	}
	request, err := unix.NewIfreq(name)
	if err == nil {
		request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	if err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), device), nil
}

// read takes frames in until the end is closed.
func (d *delayLine) read() {
	defer close(d.frames)
	b := make([]byte, delayedLongest)
	for {
		n, err := d.from.Read(b)
		if errors.Is(err, unix.EIO) { // the interface is down
			time.Sleep(time.Millisecond)
			continue
		}
		if err != nil {
			return
		}
		select {
		case d.frames <- delayedFrame{time.Now().Add(d.delay), append([]byte(nil), b[:n]...)}:
		default:
		}
	}
}

// write gives them out when their time has come.
func (d *delayLine) write() {
	for f := range d.frames {
		time.Sleep(time.Until(f.due))
		_, _ = d.to.Write(f.data) // into an interface that is down it is lost
	}
}

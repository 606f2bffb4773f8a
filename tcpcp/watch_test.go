package tcpcp

import (
	"encoding/binary"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"
	"unsafe"

	vlab "github.com/vanycast/vanycast/tests/lab"
	"golang.org/x/sys/unix"
)

// segment is a TCP segment seen on a host's interface.
type segment struct {
	at       time.Time
	out      bool // sent by the host
	flags    byte
	seq, ack uint32
	length   int
}

const (
	flagFIN = 0x01
	flagRST = 0x04
)

func (s segment) String() string {
	return fmt.Sprintf("out=%v flags=%#x seq=%d ack=%d length=%d", s.out, s.flags, s.seq, s.ack, s.length)
}

// watch sees every TCP segment of a host, at the moment that the kernel gives
// it to the device. No reset may ever be among them.
type watch struct {
	host *vlab.Host
	fd   int
	done chan struct{}

	mu    sync.Mutex
	seen  []segment
	quiet int // how often there was nothing more to read
}

func watchHost(t testing.TB, h *vlab.Host) *watch {
	t.Helper()
	w := &watch{host: h, done: make(chan struct{})}
	var err error
	do(t, h, func() { w.fd, err = packetSocket("eth0") })
	if err != nil {
		t.Fatal(err)
	}
	go w.loop()
	t.Cleanup(func() {
		w.stop()
		for _, s := range w.segments() {
			if s.flags&flagRST != 0 {
				t.Errorf("a reset on %s: %v", h.Name(), s)
			}
		}
	})
	return w
}

func packetSocket(iface string) (int, error) {
	ifi, err := net.InterfaceByName(iface)
	if err != nil {
		return -1, err
	}
	all := uint16(unix.ETH_P_ALL) << 8 // in network order; only this one sees what is sent
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	for _, e := range []error{
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 20000}),
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: ifi.Index}),
	} {
		if e != nil {
			unix.Close(fd)
			return -1, e
		}
	}
	return fd, nil
}

// loop reads until stop; the receive timeout lets it notice.
func (w *watch) loop() {
	defer close(w.done)
	buf, oob := make([]byte, 128), make([]byte, 128)
	for {
		n, oobn, _, from, err := unix.Recvmsg(w.fd, buf, oob, unix.MSG_TRUNC)
		if err == unix.EAGAIN || err == unix.EINTR {
			w.mu.Lock()
			w.quiet++
			stop := w.host == nil
			w.mu.Unlock()
			if stop {
				unix.Close(w.fd)
				return
			}
			continue
		}
		if err != nil {
			panic(err)
		}
		if s, ok := parseSegment(buf[:min(n, len(buf))]); ok {
			s.at = stampOf(oob[:oobn])
			s.out = from.(*unix.SockaddrLinklayer).Pkttype == unix.PACKET_OUTGOING
			w.mu.Lock()
			w.seen = append(w.seen, s)
			w.mu.Unlock()
		}
	}
}

func (w *watch) stop() {
	w.mu.Lock()
	w.host = nil
	w.mu.Unlock()
	<-w.done
}

// segments are those seen so far.
func (w *watch) segments() []segment {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.seen)
}

// count counts the segments seen so far that match.
func (w *watch) count(match func(segment) bool) int {
	n := 0
	for _, s := range w.segments() {
		if match(s) {
			n++
		}
	}
	return n
}

func arrived(s segment) bool { return !s.out }

// silent runs f and checks that the host sends nothing of TCP meanwhile.
func (w *watch) silent(t testing.TB, what string, f func()) {
	t.Helper()
	// The kernel begins to stamp packets a while after it was asked to; those
	// before are stamped when they are read.
	w.settle(t)
	start := time.Now()
	f()
	w.expectSilence(t, what, start, time.Now())
}

// expectSilence checks that the host sent nothing of TCP between two moments.
func (w *watch) expectSilence(t testing.TB, what string, from, to time.Time) {
	t.Helper()
	w.settle(t)
	for _, s := range w.segments() {
		if s.out && s.at.After(from) && s.at.Before(to) {
			t.Errorf("%s: the host sent %v, %v after its silence began", what, s, s.at.Sub(from))
		}
	}
}

// settle waits until everything that happened so far has been read.
func (w *watch) settle(t testing.TB) {
	t.Helper()
	quiet := func() int {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.quiet
	}
	before := quiet()
	until(t, "the capture is read", func() bool { return quiet() > before+1 })
}

func parseSegment(b []byte) (segment, bool) {
	const ipv6, tcp = 40, 20
	if len(b) < ipv6+tcp || b[0]>>4 != 6 || b[6] != unix.IPPROTO_TCP {
		return segment{}, false
	}
	h := b[ipv6:]
	return segment{
		flags:  h[13],
		seq:    binary.BigEndian.Uint32(h[4:]),
		ack:    binary.BigEndian.Uint32(h[8:]),
		length: int(binary.BigEndian.Uint16(b[4:])) - int(h[12]>>4)*4,
	}, true
}

func stampOf(oob []byte) time.Time {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil || len(messages) == 0 {
		return time.Time{}
	}
	ts := (*unix.Timespec)(unsafe.Pointer(unsafe.SliceData(messages[0].Data)))
	return time.Unix(ts.Unix())
}

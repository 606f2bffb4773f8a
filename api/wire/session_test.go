package wire

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// pair gives the two ends of a UNIX stream connection.
func pair(t *testing.T) (a, b *net.UnixConn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]*net.UnixConn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "pair")
		c, err := net.FileConn(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		ends[i] = c.(*net.UnixConn)
	}
	return ends[0], ends[1]
}

// file gives a descriptor with something to read.
func file(t *testing.T, text string) int {
	t.Helper()
	fd, err := unix.MemfdCreate("wire", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if _, err := unix.Pwrite(fd, []byte(text), 0); err != nil {
		t.Fatal(err)
	}
	return fd
}

func read(t *testing.T, fd int) string {
	t.Helper()
	b := make([]byte, 64)
	n, err := unix.Pread(fd, b, 0)
	if err != nil {
		t.Fatalf("descriptor %d: %v", fd, err)
	}
	return string(b[:n])
}

// TestSessionDescriptors: each descriptor comes with its own frame, however the
// frames lie in the stream.
func TestSessionDescriptors(t *testing.T) {
	ca, cb := pair(t)
	a, b := NewSession(ca), NewSession(cb)
	state := bytes.Repeat([]byte{7}, MaxState)
	go func() {
		for i, text := range []string{"one", "", "two", "three", ""} {
			m := &Message{Kind: KindResult, Client: uint64(i + 1)}
			fd := -1
			if text != "" {
				fd, m.Kind = file(t, text), KindDelivered
			}
			var s []byte
			if text == "two" {
				s = state
			}
			if err := a.Send(m, s, fd); err != nil {
				t.Errorf("send %d: %v", i, err)
			}
		}
		a.Close()
	}()
	for i, text := range []string{"one", "", "two", "three", ""} {
		f, err := b.Receive()
		if err != nil {
			t.Fatalf("frame %d: %v", i, err)
		}
		if f.Client != uint64(i+1) {
			t.Errorf("frame %d: client %d", i, f.Client)
		}
		if (f.FD >= 0) != (text != "") {
			t.Fatalf("frame %d: descriptor %d", i, f.FD)
		}
		if text != "" {
			if got := read(t, f.FD); got != text {
				t.Errorf("frame %d: descriptor of %q, want %q", i, got, text)
			}
			unix.Close(f.FD)
		}
		if text == "two" && !bytes.Equal(f.State, state) {
			t.Errorf("frame %d: state of %d bytes is not what was sent", i, len(f.State))
		}
	}
	if _, err := b.Receive(); err != io.EOF {
		t.Errorf("after the end: %v, want io.EOF", err)
	}
}

// TestSessionConcurrentSend: frames of several senders do not mix.
func TestSessionConcurrentSend(t *testing.T) {
	ca, cb := pair(t)
	a, b := NewSession(ca), NewSession(cb)
	const senders, each = 4, 50
	var wg sync.WaitGroup
	for i := range senders {
		wg.Go(func() {
			for n := range each {
				if err := a.Send(&Message{Kind: KindHandoff, Client: uint64(i)}, bytes.Repeat([]byte{byte(n)}, n*100), -1); err != nil {
					t.Errorf("send: %v", err)
				}
			}
		})
	}
	go func() { wg.Wait(); a.Close() }()
	next := make([]int, senders)
	for {
		f, err := b.Receive()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		n := next[f.Client]
		if !bytes.Equal(f.State, bytes.Repeat([]byte{byte(n)}, n*100)) {
			t.Fatalf("sender %d, frame %d: wrong state", f.Client, n)
		}
		next[f.Client]++
	}
	for i, n := range next {
		if n != each {
			t.Errorf("sender %d: %d frames, want %d", i, n, each)
		}
	}
}

// TestSessionBad: nonsense ends the session with ErrFrame, and no descriptor is
// kept.
func TestSessionBad(t *testing.T) {
	good, err := appendFrame(nil, &Message{Kind: KindAccept, N: 1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	bare, err := appendFrame(nil, &Message{Kind: KindAdopt}, nil)
	if err != nil {
		t.Fatal(err)
	}
	fd := file(t, "x")
	for _, tt := range []struct {
		name string
		send func(c *net.UnixConn)
		want error
	}{
		{"cut prefix", func(c *net.UnixConn) { c.Write(good[:5]) }, io.ErrUnexpectedEOF},
		{"cut message", func(c *net.UnixConn) { c.Write(good[:12]) }, io.ErrUnexpectedEOF},
		{"huge", func(c *net.UnixConn) { c.Write(bytes.Repeat([]byte{0x7f}, 100)) }, ErrFrame},
		{"not JSON", func(c *net.UnixConn) { c.Write([]byte{0, 0, 0, 1, 0, 0, 0, 0, 'x'}) }, ErrFrame},
		{"descriptor with accept", func(c *net.UnixConn) { c.WriteMsgUnix(good, unix.UnixRights(fd), nil) }, ErrFrame},
		{"two descriptors", func(c *net.UnixConn) { c.WriteMsgUnix(bare, unix.UnixRights(fd, fd), nil) }, ErrFrame},
		{"forty descriptors", func(c *net.UnixConn) {
			c.WriteMsgUnix(bare, unix.UnixRights(repeat(fd, 40)...), nil)
		}, ErrFrame},
		{"adopt without descriptor", func(c *net.UnixConn) { c.Write(bare) }, ErrFrame},
		{"descriptor too late", func(c *net.UnixConn) {
			c.Write(bare[:prefixLength])
			c.WriteMsgUnix(bare[prefixLength:], unix.UnixRights(fd), nil)
		}, ErrFrame},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ca, cb := pair(t)
			before := openFiles(t)
			go func() { tt.send(ca); ca.CloseWrite() }()
			f, err := NewSession(cb).Receive()
			if !errors.Is(err, tt.want) {
				t.Errorf("got %+v, %v; want %v", f, err, tt.want)
			}
			if after := openFiles(t); after != before {
				t.Errorf("%d descriptors open before, %d after", before, after)
			}
		})
	}
}

func repeat(fd, n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = fd
	}
	return out
}

func openFiles(t *testing.T) int {
	t.Helper()
	d, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(d)
}

package tcpcp

import (
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// dialFrom connects from one port of the client; nil if nobody answers.
func (l *testLab) dialFrom(t testing.TB, port int, patience time.Duration) *os.File {
	t.Helper()
	var fd int
	var err error
	do(t, l.client, func() {
		if fd, err = unix.Socket(unix.AF_INET6, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
			return
		}
		timeout := unix.NsecToTimeval(int64(patience))
		for _, step := range []func() error{
			func() error { return unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &timeout) },
			func() error { return unix.Bind(fd, &unix.SockaddrInet6{Addr: clientAddr.As16(), Port: port}) },
			func() error { return unix.Connect(fd, &unix.SockaddrInet6{Addr: serverAddr.As16(), Port: serverPort}) },
		} {
			if err = step(); err != nil {
				return
			}
		}
	})
	if err == unix.EINPROGRESS { // SO_SNDTIMEO ended
		unix.Close(fd)
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return pollable(t, fd)
}

// frozenAt connects from one port of the client and freezes host a's side.
func (l *testLab) frozenAt(t testing.TB, port int) (*os.File, *Frozen) {
	t.Helper()
	ln := listen(t, l.a)
	client := l.dialFrom(t, port, time.Minute)
	server, _, err := unix.Accept4(ln, unix.SOCK_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	f, err := Freeze(server)
	if err != nil {
		t.Fatal(err)
	}
	return client, f
}

// reset closes a connection with an RST, which leaves its port free.
func reset(t testing.TB, f *os.File) {
	t.Helper()
	raw, err := f.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if cerr := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptLinger(int(fd), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	}); cerr != nil || err != nil {
		t.Fatal(cerr, err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// A client that takes the port of a connection that was moved away gets its new
// one; segments of the old one release nothing.
func TestOpeningReleasesBuried(t *testing.T) {
	const port = 50001
	l := newLab(t)
	old, f := l.frozenAt(t, port)
	graves := NewGraveyard(10)
	defer graves.Close()
	if err := graves.Bury(f, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if n := graves.At(serverAddr); n != 1 {
		t.Fatalf("%d connections of the address buried", n)
	}

	var mu sync.Mutex
	seen := map[FourTuple]int{}
	var w *Openings
	var err error
	do(t, l.a, func() {
		w, err = WatchOpenings(serverAddr, func(tuple FourTuple) {
			mu.Lock()
			defer mu.Unlock()
			seen[tuple]++
			if err := graves.Release(tuple); err != nil {
				t.Error(err)
			}
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	told := func(port uint16) bool {
		mu.Lock()
		defer mu.Unlock()
		return seen[FourTuple{netip.AddrPortFrom(serverAddr, serverPort), netip.AddrPortFrom(clientAddr, port)}] > 0
	}

	// The old one's segments, and then another connection's SYN: when that is
	// told, so would those have been.
	if _, err := old.WriteString("late"); err != nil {
		t.Fatal(err)
	}
	l.dialFrom(t, port+1, time.Minute)
	until(t, "another connection is told of", func() bool { return told(port + 1) })
	if told(port) || graves.Len() != 1 {
		t.Error("a segment of the old connection was taken for an opening")
	}

	// Its reset is swallowed, too: a client that closes without a word.
	reset(t, old)
	if l.dialFrom(t, port, 20*time.Second) == nil {
		t.Error("the client cannot use its port again")
	}
	if graves.Len() != 0 || graves.At(serverAddr) != 0 {
		t.Error("the old connection is still buried")
	}
}

// Without the watch the SYN meets the old connection: this is what it is for.
func TestBuriedSwallowsSYN(t *testing.T) {
	const port = 50002
	l := newLab(t)
	old, f := l.frozenAt(t, port)
	reset(t, old)
	if l.dialFrom(t, port, 1500*time.Millisecond) != nil {
		t.Error("connected although a frozen connection is in the way")
	}
	if err := f.Forget(); err != nil {
		t.Fatal(err)
	}
	if l.dialFrom(t, port, 20*time.Second) == nil {
		t.Error("not connected although nothing is in the way")
	}
}

// What comes too fast is told of in part, and nothing after Close.
func TestOpeningsClose(t *testing.T) {
	l := newLab(t)
	listen(t, l.a)
	var w *Openings
	var err error
	told := 0
	do(t, l.a, func() { w, err = WatchOpenings(serverAddr, func(FourTuple) { told++ }) })
	if err != nil {
		t.Fatal(err)
	}
	l.dialFrom(t, 50003, time.Minute)
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	before := told // Close is the end of the goroutine that counts
	l.dialFrom(t, 50004, time.Minute)
	if told != before {
		t.Error("told after the end")
	}
}

func TestWatchOpeningsFails(t *testing.T) {
	l := newLab(t)
	var err error
	do(t, l.a, func() { _, err = WatchOpenings(netip.MustParseAddr("ff02::1%eth0"), func(FourTuple) {}) })
	if err == nil {
		t.Error("a group address can be watched")
	}
}

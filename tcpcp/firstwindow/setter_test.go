package firstwindow

import (
	"testing"

	"golang.org/x/sys/unix"
)

// What was set for a socket and for a listener is what the two ends of their
// connection begin with; a socket for which nothing was set has what it always had.
func TestSet(t *testing.T) {
	const dialed, accepted = 44, 33
	ordinary, _ := windows(t, nil, 0, 0)
	if ordinary == dialed || ordinary == accepted {
		t.Fatalf("an ordinary window is %d", ordinary)
	}
	s, err := New()
	if err != nil {
		t.Skip(err)
	}
	if a, b := windows(t, s, dialed, accepted); a != dialed || b != accepted {
		t.Errorf("windows of %d and %d segments, want %d and %d", a, b, dialed, accepted)
	}
	if a, b := windows(t, nil, 0, 0); a != ordinary || b != ordinary {
		t.Errorf("windows of %d and %d segments without being set, want %d", a, b, ordinary)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Set(0, dialed); err == nil {
		t.Error("set after Close")
	}
}

// windows makes a connection and tells the window of each end; s may be nil.
func windows(t *testing.T, s *Setter, dialed, accepted uint32) (uint32, uint32) {
	t.Helper()
	listener, dialer := socket(t), socket(t)
	if s != nil {
		must(t, s.Set(listener, accepted))
		must(t, s.Set(dialer, dialed))
	}
	must(t, unix.Bind(listener, &unix.SockaddrInet6{Addr: [16]byte{15: 1}}))
	must(t, unix.Listen(listener, 1))
	to, err := unix.Getsockname(listener)
	must(t, err)
	must(t, unix.Connect(dialer, to))
	fd, _, err := unix.Accept4(listener, unix.SOCK_CLOEXEC)
	must(t, err)
	defer unix.Close(fd)
	return window(t, dialer), window(t, fd)
}

func window(t *testing.T, fd int) uint32 {
	t.Helper()
	i, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	must(t, err)
	return i.Snd_cwnd
}

func socket(t *testing.T) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

package tcpcp

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/vanycast/vanycast/tcpcp/internal/loopback"
)

const inUserNamespace = "TCPCP_TEST_IN_USER_NAMESPACE"

// In a user namespace of its own everything works, but forcing the buffers: the
// host's limits hold there, and what does not fit is refused before anything is
// lost. The test runs itself there.
func TestUserNamespace(t *testing.T) {
	if os.Getenv(inUserNamespace) != "" {
		t.Run("move", moveInUserNamespace)
		t.Run("no room", noRoomInUserNamespace)
		return
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestUserNamespace$", "-test.v")
	cmd.Env = append(os.Environ(), inUserNamespace+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Count(string(out), "--- PASS") != 3 {
		t.Errorf("%v\n%s", err, out)
	}
}

// inPlace extracts a connection, forgets it and inserts it again.
func inPlace(fd int, change func(*Endpoint)) (int, error) {
	f, err := Freeze(fd)
	if err != nil {
		return -1, err
	}
	e, err := f.Extract()
	if err != nil {
		return -1, errors.Join(err, f.Thaw())
	}
	if change != nil {
		change(e)
	}
	if err := f.Forget(); err != nil {
		return -1, err
	}
	i, err := Insert(e)
	if err != nil {
		return -1, err
	}
	return i.Activate()
}

func moveInUserNamespace(t *testing.T) {
	if err := errors.Join(loopback.Up(), Probe()); err != nil {
		t.Fatal(err)
	}
	if err := optSendBufferForce.set(socket(t, unix.AF_INET6, unix.SOCK_STREAM), 100000); !isErrno(err, unix.EPERM) {
		t.Fatalf("forcing a buffer: %v, want EPERM", err)
	}
	client, server, err := loopback.Connect()
	if err != nil {
		t.Fatal(err)
	}
	up, down := randomBytes(100000), randomBytes(200000)
	if _, err := unix.Write(client, up); err != nil {
		t.Fatal(err)
	}
	until(t, "bytes unread", func() bool {
		n, err := ioctlInt(server, unix.SIOCINQ, "SIOCINQ")
		return err == nil && n == len(up)
	})
	sent, errno := put(server, down)
	if errno != 0 {
		t.Fatal(errno)
	}
	if server, err = inPlace(server, nil); err != nil {
		t.Fatal(err)
	}
	for _, side := range []struct {
		fd   int
		want []byte
	}{{client, down[:sent]}, {server, up}} {
		got, err := readFD(side.fd, len(side.want))
		if err != nil || !bytes.Equal(got, side.want) {
			t.Errorf("got %d of %d bytes, or others: %v", len(got), len(side.want), err)
		}
	}
}

// readFD reads n bytes from a socket, blocking or not.
func readFD(fd, n int) ([]byte, error) {
	b := make([]byte, n)
	for at := 0; at < n; {
		k, err := unix.Read(fd, b[at:])
		switch {
		case err == unix.EAGAIN:
			if _, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 10000); err != nil && err != unix.EINTR {
				return b[:at], err
			}
		case err != nil:
			return b[:at], err
		case k == 0:
			return b[:at], fmt.Errorf("end after %d of %d bytes", at, n)
		}
		at += max(k, 0)
	}
	return b, nil
}

func noRoomInUserNamespace(t *testing.T) {
	_, server, err := loopback.Connect()
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"sent", "received", "unsent"} {
		f, err := Freeze(server)
		if err != nil {
			t.Fatal(err)
		}
		e, err := f.Extract()
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Thaw(); err != nil {
			t.Fatal(err)
		}
		// Another connection, beside the one that lives.
		e.Local = netip.AddrPortFrom(e.Local.Addr(), e.Local.Port()^1)
		big := make([]byte, 40<<20)
		switch part {
		case "sent":
			e.Sent = big
		case "received":
			e.Received = big
		case "unsent":
			e.Unsent = big
		}
		if i, err := Insert(e); i != nil || !errors.Is(err, ErrNoRoom) {
			t.Errorf("%s: Insert: %v, %v; want ErrNoRoom", part, i, err)
		} else {
			t.Log(err)
		}
	}
}

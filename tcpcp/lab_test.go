package tcpcp

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The laboratory: a client and two hosts, a and b, that both have the server's
// address. The client's route says which of them hears it: switching it is what
// the Mobile IPv6 data plane does elsewhere.
//
//	client --+-- a   (server address)
//	         +-- b   (server address)
var (
	clientAddr = netip.MustParseAddr("2001:db8:c::1")
	serverAddr = netip.MustParseAddr("2001:db8:9::1")
)

const serverPort = 4000

type lab struct {
	client, a, b *host
}

type host struct {
	name string
	ns   int
	link string // towards the client; for the client: unused
	via  string // the address that the client reaches it by
}

var labs atomic.Int32

func newLab(t testing.TB) *lab {
	t.Helper()
	id := fmt.Sprintf("tcpcp%d-%d", os.Getpid(), labs.Add(1))
	l := &lab{
		client: &host{name: id + "c"},
		a:      &host{name: id + "a", link: "net0", via: "2001:db8:1::2"},
		b:      &host{name: id + "b", link: "net0", via: "2001:db8:2::2"},
	}
	t.Cleanup(func() {
		for _, h := range []*host{l.client, l.a, l.b} {
			if h.ns > 0 {
				unix.Close(h.ns)
			}
			// It may be that a failed set-up never made it.
			exec.Command("ip", "netns", "del", h.name).Run()
		}
	})
	var batch strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&batch, format+"\n", args...) }
	for _, h := range []*host{l.client, l.a, l.b} {
		line("netns add %s", h.name)
	}
	ip(t, batch.String())
	for i, h := range []*host{l.a, l.b} {
		batch.Reset()
		line("link add to%d netns %s type veth peer name net0 netns %s", i+1, l.client.name, h.name)
		ip(t, batch.String())
		ip(t, fmt.Sprintf("addr add 2001:db8:%d::1/64 dev to%d nodad\nlink set to%d up\nlink set lo up\n", i+1, i+1, i+1), "-n", l.client.name)
		ip(t, fmt.Sprintf("addr add %s/64 dev net0 nodad\naddr add %v/128 dev lo\nlink set net0 up\nlink set lo up\nroute add %v via 2001:db8:%d::1\n",
			h.via, serverAddr, clientAddr, i+1), "-n", h.name)
	}
	ip(t, fmt.Sprintf("addr add %v/128 dev lo\n", clientAddr), "-n", l.client.name)
	for _, h := range []*host{l.client, l.a, l.b} {
		var err error
		if h.ns, err = unix.Open("/run/netns/"+h.name, unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
			t.Fatal(err)
		}
	}
	l.route(t, l.a)
	return l
}

func ip(t testing.TB, batch string, args ...string) {
	t.Helper()
	cmd := exec.Command("ip", append(args, "-6", "-batch", "-")...)
	cmd.Stdin = strings.NewReader(batch)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("ip %v: %v\n%s%s", args, err, batch, out)
	}
}

// route makes the client reach the server's address at h.
func (l *lab) route(t testing.TB, h *host) {
	t.Helper()
	ip(t, fmt.Sprintf("route replace %v via %s src %v\n", serverAddr, h.via, clientAddr), "-n", l.client.name)
}

// do runs f in the host's namespace.
func (h *host) do(t testing.TB, f func()) {
	t.Helper()
	failed := make(chan error, 1)
	go func() {
		defer close(failed)
		// The thread is not given back to the runtime: it ends with the goroutine.
		runtime.LockOSThread()
		if err := unix.Setns(h.ns, unix.CLONE_NEWNET); err != nil {
			failed <- err
			return
		}
		f()
	}()
	if err := <-failed; err != nil {
		t.Fatalf("setns %s: %v", h.name, err)
	}
}

// sysctl sets a value of the host's network namespace.
func (h *host) sysctl(t testing.TB, name, value string) {
	t.Helper()
	var err error
	h.do(t, func() {
		err = os.WriteFile("/proc/sys/net/"+name, []byte(value), 0)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// until polls for a condition.
func until(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; {
		if cond() {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("gave up waiting: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

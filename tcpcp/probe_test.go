package tcpcp

import (
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/vanycast/vanycast/tcpcp/internal/loopback"
)

func TestProbe(t *testing.T) {
	if err := Probe(); err != nil {
		t.Fatal(err)
	}
}

// Without CAP_NET_ADMIN the probe says so, and Freeze leaves the socket alone.
func TestWithoutCapability(t *testing.T) {
	client, server, err := loopback.Connect()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(client)
	defer unix.Close(server)
	var probe, freeze error
	done := make(chan error)
	go func() {
		// This thread ends with the goroutine.
		runtime.LockOSThread()
		err := dropCapability(unix.CAP_NET_ADMIN)
		if err == nil {
			probe = Probe()
			_, freeze = Freeze(server)
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if probe == nil || !strings.Contains(probe.Error(), "CAP_NET_ADMIN") {
		t.Errorf("Probe: %v", probe)
	}
	if !isErrno(freeze, unix.EPERM) {
		t.Errorf("Freeze: %v, want EPERM", freeze)
	}
	if _, err := unix.Write(client, []byte("x")); err != nil {
		t.Fatal(err)
	}
	until(t, "the connection lives", func() bool {
		n, err := ioctlInt(server, unix.SIOCINQ, "SIOCINQ")
		return err == nil && n == 1
	})
}

func dropCapability(number uint) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return err
	}
	data[number/32].Effective &^= 1 << (number % 32)
	return unix.Capset(&header, &data[0])
}

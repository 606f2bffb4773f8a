package uml

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// boot runs a command in a guest and returns its status and the directory that
// it could write to.
func boot(t *testing.T, command string) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	umlboot, err := Build(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	status, err := Boot(ctx, Config{Boot: umlboot, Out: out, Command: command})
	if err != nil {
		t.Fatal(err)
	}
	return status, out
}

func TestBootBringsStatusAndFilesBack(t *testing.T) {
	status, out := boot(t, "uname -r > /run/out/version; id -u > /run/out/uid; exit 42")
	if status != 42 {
		t.Errorf("exit status %d, want 42", status)
	}
	version, err := os.ReadFile(filepath.Join(out, "version"))
	if err != nil || !strings.HasPrefix(string(version), "6.1.") {
		t.Errorf("kernel version %q, %v; want 6.1", version, err)
	}
	if uid, err := os.ReadFile(filepath.Join(out, "uid")); err != nil || string(uid) != "0\n" {
		t.Errorf("user id %q, %v; want 0", uid, err)
	}
}

// The kernel knows the state kinds of Mobile IPv6, tunnels, netem and ESP only
// with the modules loaded.
func TestGuestHasMobileIPv6(t *testing.T) {
	status, out := boot(t, `exec >/run/out/log 2>&1; set -ex
ip link add name va type veth peer name vb
ip -6 addr add 2001:db8::1/64 dev va nodad
ip link set va up; ip link set vb up
ip xfrm state add src 2001:db8::1 dst 2001:db8::2 proto hao reqid 0 mode ro coa 2001:db8::3
ip xfrm state add src 2001:db8::2 dst 2001:db8::1 proto route2 reqid 0 mode ro coa 2001:db8::3
ip xfrm state add src 2001:db8::1 dst 2001:db8::2 proto esp spi 1 mode transport enc 'cbc(aes)' 0x00112233445566778899aabbccddeeff auth 'hmac(sha256)' 0x00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff
ip -6 tunnel add t mode ip6ip6 remote 2001:db8::2 local 2001:db8::1 encaplimit none
tc qdisc add dev va root netem delay 20ms loss 1%
tc qdisc add dev vb clsact`)
	if status != 0 {
		log, _ := os.ReadFile(filepath.Join(out, "log"))
		t.Errorf("exit status %d: %s", status, log)
	}
}

func TestBootEndsWithItsContext(t *testing.T) {
	umlboot, err := Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		// Once the guest's command runs.
		for ctx.Err() == nil {
			if _, err := os.Stat(filepath.Join(out, "started")); err == nil {
				cancel()
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	_, err = Boot(ctx, Config{Boot: umlboot, Out: out, Command: "touch /run/out/started; sleep 1000"})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
}

func TestResults(t *testing.T) {
	output := "=== RUN   TestA\r\n=== RUN   TestA/one\r\n=== RUN   TestB\r\n    x_test.go:1: words\r\n" +
		"--- PASS: TestA (0.00s)\r\n    --- SKIP: TestA/one (0.00s)\r\n=== RUN   TestC\n--- FAIL: TestC (1.00s)\n"
	ended, unfinished := Results([]byte(output))
	want := []Result{{"TestA", Pass}, {"TestA/one", Skip}, {"TestC", Fail}}
	if diff := cmp.Diff(want, ended); diff != "" {
		t.Errorf("ended (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"TestB"}, unfinished); diff != "" {
		t.Errorf("unfinished (-want +got):\n%s", diff)
	}
}

// What only the host can run well is run there, for a guest.
func TestHostRunsTshark(t *testing.T) {
	status, out := boot(t, "tshark --version > /run/out/version")
	if status != 0 {
		t.Errorf("exit status %d", status)
	}
	if version, err := os.ReadFile(filepath.Join(out, "version")); err != nil || !strings.HasPrefix(string(version), "TShark") {
		t.Errorf("version %q, %v", version, err)
	}
}

package api

import (
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestMain lets the test binary be another process: with VANYCAST_TEST_SEND set,
// it sends that to the socket and prints the answer.
func TestMain(m *testing.M) {
	if text := os.Getenv("VANYCAST_TEST_SEND"); text != "" {
		c, err := net.Dial("unix", os.Getenv("VANYCAST_TEST_SOCKET"))
		if err == nil {
			_, err = io.WriteString(c, text)
		}
		if err == nil {
			_, err = io.Copy(os.Stdout, c)
		}
		if err != nil {
			io.WriteString(os.Stderr, err.Error())
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// helper is the test binary as that process, where any user may run it.
func helper(t *testing.T, text, socket string) *exec.Cmd {
	t.Helper()
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "vanycast-api-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "helper")
	if err := os.WriteFile(path, self, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path)
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), "VANYCAST_TEST_SEND="+text, "VANYCAST_TEST_SOCKET="+socket)
	return cmd
}

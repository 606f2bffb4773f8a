package xfrm_test

import (
	"errors"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/mipv6/xfrm"
)

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		os.Exit(child())
	}
	goleak.VerifyTestMain(m)
}

// needKernel skips the test on a kernel without Mobile IPv6, naming the option;
// tests/uml runs it on one that has it.
func needKernel(t *testing.T) {
	t.Helper()
	err := xfrm.Probe()
	if errors.As(err, new(*dataplane.MissingError)) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

package kernel

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/mipv6/xfrm"
	"github.com/vanycast/vanycast/tests/cluster"
)

// binaries is the folder of the programs under test: VANYCAST_BIN, where there
// is no Go to make them (a guest of tests/uml), or made once.
var binaries = os.Getenv("VANYCAST_BIN")

// programs builds what the tests run before it runs them.
type programs struct{ m *testing.M }

func (p programs) Run() int {
	if binaries != "" {
		return p.m.Run()
	}
	var err error
	if binaries, err = os.MkdirTemp("", "vanycast-bin-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(binaries)
	if err := cluster.Build(context.Background(), binaries, "./cmd/...", "./examples/...", "./tests/servers/..."); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return p.m.Run()
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(programs{m}) }

// needKernel skips the test on a kernel without Mobile IPv6, naming the option.
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

// testContext bounds a test; beyond it something hangs.
func testContext(t *testing.T) context.Context {
	t.Helper()
	const limit = 5 * time.Minute
	ctx, cancel := context.WithTimeoutCause(t.Context(), limit, fmt.Errorf("the test took longer than %v", limit))
	t.Cleanup(cancel)
	return ctx
}

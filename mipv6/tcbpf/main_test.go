package tcbpf_test

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/vanycast/vanycast/mipv6/tcbpf"
)

// childVariable makes the test binary a process that only holds a plane: see
// leftovers_test.go.
const childVariable = "VANYCAST_TCBPF_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		os.Exit(child())
	}
	goleak.VerifyTestMain(m)
}

// child makes a plane on eth0 of the namespace that it was started in,
// declares a bit of everything, and waits to be killed.
func child() int {
	p, err := tcbpf.New(tcbpf.Config{Interface: "eth0"})
	if err == nil {
		err = declareAll(p)
	}
	if err != nil {
		fmt.Println("failed:", err)
		return 1
	}
	fmt.Println("ready")
	select {}
}

package tcbpf

import (
	"errors"
	"fmt"
	"net"

	"golang.org/x/sys/unix"

	"github.com/vanycast/vanycast/mipv6/dataplane"
)

// lockNamespace makes sure that only one plane serves this network namespace:
// two would take each other's state for leftovers. The lock is an abstract UNIX
// socket, which belongs to the network namespace and ends with its process.
func lockNamespace() (net.Listener, error) {
	l, err := net.Listen("unix", "@vanycast/tcbpf")
	if errors.Is(err, unix.EADDRINUSE) {
		return nil, fmt.Errorf("tcbpf: %w (the abstract socket @vanycast/tcbpf is taken)", dataplane.ErrBusy)
	}
	if err != nil {
		return nil, fmt.Errorf("tcbpf: locking the network namespace: %w", err)
	}
	return l, nil
}

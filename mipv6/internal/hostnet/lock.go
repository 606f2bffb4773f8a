package hostnet

import (
	"errors"
	"fmt"
	"net"

	"golang.org/x/sys/unix"

	"github.com/vanycast/vanycast/mipv6/dataplane"
)

// Lock makes sure that only one plane serves this network namespace:
// two would take each other's state for leftovers. The lock is an abstract UNIX
// socket, which belongs to the network namespace and ends with its process.
func Lock() (net.Listener, error) {
	l, err := net.Listen("unix", "@vanycast/dataplane")
	if errors.Is(err, unix.EADDRINUSE) {
		return nil, fmt.Errorf("%w (the abstract socket @vanycast/dataplane is taken)", dataplane.ErrBusy)
	}
	if err != nil {
		return nil, fmt.Errorf("locking the network namespace: %w", err)
	}
	return l, nil
}

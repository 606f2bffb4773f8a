package tcbpf

import (
	"errors"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// What the kernel says when an option is missing becomes one line that names it;
// other answers stay what they are.
func TestExplain(t *testing.T) {
	for errno, missing := range map[syscall.Errno]bool{unix.ENOENT: true, unix.EOPNOTSUPP: true, unix.EPERM: false, unix.EEXIST: false} {
		err := explain(errno, "CONFIG_NET_CLS_BPF")
		var m *MissingError
		if errors.As(err, &m) != missing || !errors.Is(err, errno) {
			t.Errorf("%v: %v", errno, err)
		}
		if missing && err.Error() != "kernel lacks CONFIG_NET_CLS_BPF: "+errno.Error() {
			t.Errorf("%v: %q", errno, err)
		}
	}
}

package dataplane

import (
	"errors"
	"syscall"
	"testing"
)

// What the kernel says when an option is missing becomes one line that names it;
// other answers stay what they are.
func TestExplain(t *testing.T) {
	for errno, missing := range map[syscall.Errno]bool{syscall.ENOENT: true, syscall.EOPNOTSUPP: true, syscall.EPERM: false, syscall.EEXIST: false} {
		err := Explain(errno, "CONFIG_NET_CLS_BPF")
		var m *MissingError
		if errors.As(err, &m) != missing || !errors.Is(err, errno) {
			t.Errorf("%v: %v", errno, err)
		}
		if missing && err.Error() != "kernel lacks CONFIG_NET_CLS_BPF: "+errno.Error() {
			t.Errorf("%v: %q", errno, err)
		}
	}
}

package dataplane

import (
	"errors"
	"fmt"
	"syscall"
)

// MissingError says which option this kernel was built without.
type MissingError struct {
	Option string // "CONFIG_NET_CLS_BPF"
	Err    error  // the kernel's answer
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("kernel lacks %s: %v", e.Option, e.Err)
}

// Unwrap gives the kernel's answer.
func (e *MissingError) Unwrap() error { return e.Err }

// Explain makes a MissingError of an answer by which a kernel says that it was
// built without the option; other errors stay what they are.
func Explain(err error, option string) error {
	for _, e := range []syscall.Errno{
		syscall.ENOENT, syscall.EOPNOTSUPP, syscall.ENOSYS, syscall.EAFNOSUPPORT, syscall.ENODEV, syscall.EPROTONOSUPPORT, syscall.ENOPROTOOPT,
	} {
		if errors.Is(err, e) {
			return &MissingError{Option: option, Err: err}
		}
	}
	return err
}

// Command umlboot is both ends of booting user-mode Linux: on the host it
// becomes the kernel that it is given (see uml.Launch), and as process 1 it is
// the guest's init (see uml.Guest).
package main

import (
	"fmt"
	"os"

	"github.com/vanycast/vanycast/tests/uml"
)

func main() {
	if os.Getpid() == 1 {
		uml.Guest(os.Environ())
	}
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: umlboot KERNEL [PARAMETER...]")
		os.Exit(2)
	}
	fmt.Fprintln(os.Stderr, uml.Launch(os.Args[1:]))
	os.Exit(1)
}

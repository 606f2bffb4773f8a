// Command umlboot is both ends of booting user-mode Linux: on the host it
// becomes the kernel that it is given (see uml.Launch), and as process 1 it is
// the guest's init (see uml.Guest). Called by the name of a program that only
// the host can run well, it has the host run it (see uml.AskHost).
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
	if uml.IsHostProgram(os.Args[0]) {
		status, err := uml.AskHost(os.Args, os.Stdout, os.Stderr)
		if err != nil {
			fmt.Fprintln(os.Stderr, "umlboot: asking the host:", err)
			os.Exit(127)
		}
		os.Exit(status)
	}
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: umlboot KERNEL [PARAMETER...]")
		os.Exit(2)
	}
	fmt.Fprintln(os.Stderr, uml.Launch(os.Args[1:]))
	os.Exit(1)
}

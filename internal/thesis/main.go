package thesis

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// Exit statuses of the programs.
const (
	exitFailed = 1
	exitUsage  = 2
)

// Main is a program: parse reads its command line and says on stderr what is
// wrong there, run serves until its context ends, at SIGINT or SIGTERM.
func Main[C any](program string, parse func(args []string, stderr io.Writer) (C, error), run func(context.Context, C) error) {
	cfg, err := parse(os.Args[1:], os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		os.Exit(exitUsage)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, cfg); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", program, err)
		os.Exit(exitFailed)
	}
}

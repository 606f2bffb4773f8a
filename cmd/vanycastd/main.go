// Command vanycastd is the daemon: it reads the configuration and starts the
// roles that it names (replica, home agent, correspondent), nothing else.
//
//	vanycastd --config /etc/vanycast/vanycast.toml
//	vanycastd --config FILE --check    # only say what is wrong with it
//
// It exits with 0 when told to end (SIGTERM, SIGINT, SIGHUP), 1 if it could not
// go on, and 2 for a mistake in the configuration or on the command line.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/vanycast/vanycast/conf"
)

const (
	exitFailed = 1
	exitUsage  = 2

	defaultConfig = "/etc/vanycast/vanycast.toml"
)

// gcPercent lets the heap grow to some megabytes more than Go would: the daemon's
// is small, and in a burst of handoffs it would be collected many times a second.
// GOGC in the environment has its way.
const gcPercent = 400

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	os.Exit(execute(os.Args[1:], os.Stdout, os.Stderr))
}

// execute is main without the process around it.
func execute(args []string, stdout, stderr io.Writer) int {
	var file string
	var check bool
	cmd := &cobra.Command{
		Use:     "vanycastd",
		Short:   "Versatile anycast daemon: replica, home agent, correspondent",
		Version: version(),
		Args: func(cmd *cobra.Command, args []string) error {
			if err := cobra.NoArgs(cmd, args); err != nil {
				return usageError{err}
			}
			return nil
		},
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := conf.Load(file)
			if err != nil {
				return usageError{err}
			}
			if check {
				_, err := fmt.Fprintf(stdout, "%s: ok\n", file)
				return err
			}
			return serve(cmd.Context(), cfg, stderr)
		},
	}
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	cmd.SetVersionTemplate("vanycastd {{.Version}}\n")
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	cmd.Flags().StringVar(&file, "config", defaultConfig, "the configuration `FILE`")
	cmd.Flags().BoolVar(&check, "check", false, "check the configuration and exit")

	err := cmd.Execute()
	if err == nil {
		return 0
	}
	report(stderr, err)
	var mistakes conf.Errors
	if errors.As(err, new(usageError)) || errors.As(err, &mistakes) {
		return exitUsage
	}
	return exitFailed
}

// usageError is a mistake of who started the daemon.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// report prints an error. Mistakes in a configuration begin with the file and
// line, so that an editor finds them; the rest begin with our name.
func report(w io.Writer, err error) {
	var mistakes conf.Errors
	if errors.As(err, &mistakes) {
		fmt.Fprintln(w, mistakes)
		return
	}
	fmt.Fprintf(w, "vanycastd: %v\n", err)
}

// serve runs the roles until a signal ends them.
func serve(ctx context.Context, cfg *conf.Config, stderr io.Writer) error {
	logger, err := newLogger(cfg.Log, stderr)
	if err != nil {
		return err
	}
	// A log reader that goes away must not kill us: the host would keep our
	// addresses and routes.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer stop()
	// After the first signal the second has its usual effect, in case that
	// cleaning up hangs.
	context.AfterFunc(ctx, stop)

	logger.Info("starting", "version", version(), "node", cfg.Node.Name, "roles", cfg.Node.Roles, "config", cfg.File)
	err = run(ctx, cfg, logger)
	if err != nil && !(ctx.Err() != nil && errors.Is(err, ctx.Err())) {
		return err
	}
	logger.Info("ended")
	return nil
}

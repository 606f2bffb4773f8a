// Command vanyctl is the operator's command line: it asks the daemon on this
// host what it knows (through the local API), explains what is wrong with a
// configuration, and makes the replicas' certificates.
//
// It exits with 0 if all went well, 1 if it could not do what was asked (no
// daemon, refused), and 2 for a mistake on the command line or in the
// configuration that it checked.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/vanycast/vanycast/api/client"
	"github.com/vanycast/vanycast/api/wire"
	"github.com/vanycast/vanycast/conf"
)

const (
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code := execute(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// execute is main without the process around it.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	cmd := newRoot()
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	err := cmd.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	var mistakes conf.Errors
	if errors.As(err, &mistakes) {
		fmt.Fprintln(stderr, mistakes) // file and line first, for editors
		return exitUsage
	}
	fmt.Fprintf(stderr, "vanyctl: %v\n", err)
	if errors.As(err, new(usageError)) {
		return exitUsage
	}
	return exitFailed
}

// usageError is a mistake on the command line.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// usage marks the errors of a check of arguments as usage errors.
func usage(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usageError{err}
		}
		return nil
	}
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "vanyctl",
		Short: "Shows and checks what vanycastd does on this host",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return errors.Join(cmd.Usage(), usageError{errors.New("which command?")})
		},
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	socket := root.PersistentFlags().String("socket", wire.SocketPath(), "the daemon's `SOCKET`")
	connect := func() *client.Client { return client.New(*socket) }
	root.AddCommand(
		newStatus(connect), newReplicas(connect), newClients(connect), newBindings(connect), newHandoffs(connect),
		newEvents(connect), newHandoff(connect), newCheck(), newCA(), newKeys(connect),
	)
	return root
}

// Command echo is the example server of the thesis (§6.2.2, appendix B) on
// package vanycast: some workers, each of which serves one client at a time. It
// echoes lines, '!' makes it write all so far, 'Q' ends, and 'H' hands the client
// over to another replica in mid-line, where another worker goes on.
//
//	echo -n glass -w 5
//	telnet 2001:db8:9::1 4000
//
// session.go is the server itself, state.go what travels with a client; the
// rest is what any server has.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/netip"
	"os"

	"github.com/vanycast/vanycast"
	"github.com/vanycast/vanycast/internal/thesis"
)

const (
	defaultWorkers = 5
	maxWorkers     = 1 << 16
)

// config is what the command line says.
type config struct {
	thesis.Options
	name    string
	workers int
	silent  bool
	remote  bool
}

func main() { thesis.Main("echo", parse, run) }

// parse reads the thesis's options. What is wrong is told on stderr.
func parse(args []string, stderr io.Writer) (config, error) {
	cfg := config{workers: defaultWorkers}
	f := flag.NewFlagSet("echo", flag.ContinueOnError)
	f.SetOutput(stderr)
	cfg.Register(f, "c", "random")
	f.StringVar(&cfg.name, "n", "", "the `NAME` of the replica, as clients are told (default: as the daemon calls the host)")
	f.IntVar(&cfg.workers, "w", cfg.workers, "the `NUMBER` of workers: so many clients are served at once")
	f.BoolVar(&cfg.silent, "s", false, "silent: only 'Q' is echoed, at the end")
	f.BoolVar(&cfg.remote, "d", false, "clients are distributed to the other replicas, if any can be")
	if err := f.Parse(args); err != nil {
		return cfg, err
	}
	var err error
	switch {
	case f.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q", f.Arg(0))
	case cfg.workers < 1 || cfg.workers > maxWorkers:
		err = fmt.Errorf("-w: %d is not a number of workers: 1 to %d", cfg.workers, maxWorkers)
	}
	if err != nil {
		fmt.Fprintln(stderr, "echo:", err)
	}
	return cfg, err
}

// run starts the workers and waits for the end: of ctx, or of the daemon.
func run(ctx context.Context, cfg config) error {
	logger := log.New(os.Stdout, "", 0)
	orders := &orders{targets: make(map[net.Conn]netip.Addr)}
	opts := []vanycast.Option{vanycast.WithHandoffRequests(orders.want)}
	if cfg.remote {
		opts = append(opts, vanycast.WithNeverSelf())
	}
	ln, host, err := cfg.Listen(ctx, opts...)
	if err != nil {
		return err
	}
	if cfg.name == "" {
		cfg.name = host.Name
	}
	logger.Printf("%s: %d workers wait for clients of %s", cfg.name, cfg.workers, ln.Addr())

	accept := func() (client, error) { return ln.AcceptConn() }
	ended := make(chan error, cfg.workers)
	for id := 1; id <= cfg.workers; id++ {
		w := &worker{id: id, name: cfg.name, silent: cfg.silent, log: logger, orders: orders}
		go func() { ended <- w.run(accept) }()
	}
	// Clients that are being served when this process ends are left to the
	// daemon, which closes them in order.
	select {
	case <-ctx.Done():
		return ln.Close()
	case err := <-ended:
		return err
	}
}

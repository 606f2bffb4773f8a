// Command vanyproxy distributes clients for a server that cannot be changed: the
// thesis's proxy (§4.3, §6.2.1, appendix A). It stands before that server on each
// replica. A client that the group distributed to this replica gets a connection
// of its own to the server, and the two are joined.
//
//	vanyproxy -g /etc/vanycast/vanycast.toml -a 80
//
// Clients are distributed when they connect only. One that opens several
// connections at once needs -c: all of a client's connections with a contact
// address are with one replica, so only the contact node may distribute.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/vanycast/vanycast"
	"github.com/vanycast/vanycast/internal/thesis"
)

const (
	defaultDialers = 64
	maxDialers     = 4096
	dialTime       = 10 * time.Second
	graceTime      = 10 * time.Second
	relistenTime   = time.Second
)

// config is what the command line says.
type config struct {
	thesis.Options
	host        string
	port        int
	dialers     int
	contactOnly bool
	verbose     bool
}

func main() { thesis.Main("vanyproxy", parse, run) }

// parse reads the thesis's options. What is wrong is told on stderr.
func parse(args []string, stderr io.Writer) (config, error) {
	var cfg config
	f := flag.NewFlagSet("vanyproxy", flag.ContinueOnError)
	f.SetOutput(stderr)
	cfg.Register(f, "g", "random")
	f.IntVar(&cfg.port, "a", 0, "the `PORT` of the application server; must be given")
	f.StringVar(&cfg.host, "s", "localhost", "the address or name of the application server's `HOST`")
	f.BoolVar(&cfg.contactOnly, "c", false, "only the contact node distributes clients")
	f.IntVar(&cfg.dialers, "n", defaultDialers, "the `NUMBER` of connections to the application server that may be on their way at once")
	f.BoolVar(&cfg.verbose, "v", false, "tell of each step")
	if err := f.Parse(args); err != nil {
		return cfg, err
	}
	var err error
	switch {
	case f.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q", f.Arg(0))
	case cfg.port == 0:
		err = errors.New("-a is missing: the port of the application server")
	case cfg.port < 1 || cfg.port > 65535:
		err = fmt.Errorf("-a: %d is not a port: 1 to 65535", cfg.port)
	case cfg.host == "":
		err = errors.New("-s: the host of the application server is empty")
	case cfg.dialers < 1 || cfg.dialers > maxDialers:
		err = fmt.Errorf("-n: %d is out of range: 1 to %d", cfg.dialers, maxDialers)
	}
	if err != nil {
		fmt.Fprintln(stderr, "vanyproxy:", err)
	}
	return cfg, err
}

// run serves until ctx ends. A daemon that was there at the start and went away
// is waited for: the server behind us goes on, too.
func run(ctx context.Context, cfg config) error {
	level := slog.LevelInfo
	if cfg.verbose {
		level = slog.LevelDebug
	}
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{Level: level}))
	var opts []vanycast.Option
	if cfg.contactOnly {
		opts = append(opts, vanycast.WithContactOnly())
	}
	p := &proxy{
		backend: net.JoinHostPort(cfg.host, strconv.Itoa(cfg.port)), dialers: cfg.dialers,
		dialTime: dialTime, grace: graceTime, log: logger,
	}
	ln, _, err := cfg.Listen(ctx, opts...)
	for first := true; ; first = false {
		switch {
		case err == nil:
			logger.Info("waiting for clients", "contact", ln.Addr().String(), "server", p.backend)
			err = p.serve(ctx, ln)
			ln.Close()
		case first:
			return err
		}
		if ctx.Err() != nil {
			return nil
		}
		logger.Warn("no clients until the daemon is back", "err", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(relistenTime):
		}
		ln, _, err = cfg.Listen(ctx, opts...)
	}
}

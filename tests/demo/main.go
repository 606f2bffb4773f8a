// Command demo shows vanycast at work, on this kernel, with real programs: it
// builds the laboratory of the thesis's example, installs vanycast on it as a
// user would, and drives Debian's telnet through the session of the thesis's
// §6.2.2. What telnet shows is printed as it comes; a table of the handoffs
// follows, and the same as build/demo.json. It exits 0 only if everything went
// as it must.
//
//	demo         the session (make demo)
//	demo -lab    leaves the laboratory up to be tried by hand (make lab)
//	demo -down   takes that laboratory down (make lab-down)
//
// The session needs no root: for an ordinary user it runs inside user-mode Linux
// (package uml), on the kernel's own Mobile IPv6.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/vanycast/vanycast/tests/cluster"
	"github.com/vanycast/vanycast/tests/lab"
)

// patience bounds the whole demonstration, once its programs are built.
const patience = 110 * time.Second

func main() {
	up := flag.Bool("lab", false, "leave the laboratory up, to try by hand")
	down := flag.Bool("down", false, "take down what -lab left")
	prefix := flag.String("prefix", "vc", "with -lab: the hosts are the namespaces `PREFIX`-NAME")
	guest := flag.String("guest", "", "in user-mode Linux: the `FOLDER` of the programs, already built")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *up, *down, *prefix, *guest); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, up, down bool, prefix, guest string) error {
	if guest != "" {
		return inGuest(ctx, guest)
	}
	root, err := cluster.Root()
	if err != nil {
		return err
	}
	build := filepath.Join(root, "build")
	state := filepath.Join(build, "lab", "state.json")
	if down {
		err := lab.TakeDown(state)
		if errors.Is(err, lab.ErrNotUp) {
			fmt.Println("no laboratory is up")
			return nil
		}
		if err == nil {
			fmt.Println("the laboratory is down")
		}
		return err
	}
	fmt.Println("building the programs")
	bin := filepath.Join(build, "bin")
	if err := cluster.Build(ctx, bin, "./cmd/...", "./examples/..."); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("the demonstration took longer than %v", patience))
	defer cancel()
	if os.Geteuid() != 0 && !up {
		return bootGuest(ctx, bin, build)
	}
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	return lab.Run("demo", logger, func(tb lab.TB) error {
		if up {
			return leaveUp(ctx, tb, bin, state, prefix)
		}
		return demonstrate(ctx, tb, bin, filepath.Join(build, "demo.json"))
	})
}

// workers is how many clients each replica's echo server serves at once.
const workers = 4

// install brings up the laboratory with everything on it.
func install(ctx context.Context, tb lab.TB, n *lab.ThesisNet, bin string, opts ...cluster.Option) (*cluster.Cluster, map[string]*cluster.Daemon, error) {
	c, err := cluster.New(ctx, tb, n, bin, append(opts, cluster.WithServices(services()...))...)
	if err != nil {
		return nil, nil, err
	}
	fmt.Println("starting vanycastd on ha, modern, glass, reich and adams")
	daemons, err := c.StartAll(ctx)
	if err != nil {
		return nil, nil, err
	}
	fmt.Println("starting the echo servers, as an unprivileged user")
	for _, service := range services() {
		for _, name := range lab.Replicas() {
			if _, err := c.StartServer(name, "echo", "-n", name, "-w", strconv.Itoa(workers), "-d", "--service", service.Name); err != nil {
				return nil, nil, err
			}
		}
		if err := c.WaitServing(ctx, daemons, service.Name); err != nil {
			return nil, nil, err
		}
	}
	return c, daemons, nil
}

// services are the thesis's example service, and the same with handoffs as the
// thesis had them.
func services() []cluster.Service {
	echo := cluster.Echo()
	plain := echo
	plain.Name, plain.Contact, plain.Extra = "plain", netip.AddrPortFrom(echo.Contact.Addr(), plainPort), []string{`mode = "basic"`}
	return []cluster.Service{echo, plain}
}

const plainPort = 4001

// demonstrate runs both sessions and shows what came of them.
func demonstrate(ctx context.Context, tb lab.TB, bin, result string) error {
	n := lab.Thesis(tb, lab.Wire())
	fmt.Println("hosts: router, ha, glass, reich, adams, modern, legacy, each a network namespace " + n.Prefix() + "NAME")
	_, daemons, err := install(ctx, tb, n, bin)
	if err != nil {
		return err
	}
	watch, err := watchLinks(n)
	if err != nil {
		return err
	}
	echo, plain := services()[0].Contact, services()[1].Contact
	for _, s := range []struct {
		host *lab.Host
		to   netip.AddrPort
		body func(context.Context, *cluster.Telnet) error
	}{{n.Modern, echo, thesisSession}, {n.Legacy, echo, legacySession}, {n.Modern, plain, plainSession}, {n.Legacy, plain, plainSession}} {
		if err := telnet(ctx, s.host, s.to, func(t *cluster.Telnet) error { return s.body(ctx, t) }); err != nil {
			return fmt.Errorf("%s: %w", s.host.Name(), err)
		}
	}
	handoffs, err := collect(ctx, daemons, n)
	if err != nil {
		return err
	}
	if err := watch.stop(); err != nil {
		return err
	}
	lost, err := watch.lost(ctx, handoffs)
	if err != nil {
		return err
	}
	for i := range handoffs {
		handoffs[i].Lost = lost[i]
	}
	fmt.Print(table(handoffs))
	if err := writeResult(result, handoffs); err != nil {
		return err
	}
	return errors.Join(judge(handoffs), watch.judge(ctx))
}

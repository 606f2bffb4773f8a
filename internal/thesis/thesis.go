// Package thesis has what the thesis's two programs, its example server (§6.2.2)
// and its proxy (§4.3), have in common: foremost command line options, brought to
// a world where the framework is a daemon. There they were orders (this is your
// care-of address, this your interface); here the daemon has its own
// configuration, and they are expectations: a server that expects another host
// than the one it is started on says so instead of serving.
package thesis

import (
	"context"
	"flag"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"

	"github.com/vanycast/vanycast"
)

// Options say which daemon a server belongs to, and what it expects of it.
type Options struct {
	File      string     // -c or -g: the daemon's configuration file, or its socket
	Socket    string     // --socket: the daemon's socket
	Service   string     // --service
	Policy    string     // --policy
	Local     netip.Addr // -l: the care-of address
	Interface string     // -i
}

// Register adds the options to a set of flags. fileFlag is what the program
// calls its -c or -g, policy the policy that it asks for.
func (o *Options) Register(f *flag.FlagSet, fileFlag, policy string) {
	f.StringVar(&o.File, fileFlag, "", "the daemon's configuration `FILE`, or its socket")
	f.StringVar(&o.Socket, "socket", "", "the daemon's `SOCKET` (default $VANYCAST_SOCKET, or /run/vanycast/api.sock)")
	f.StringVar(&o.Service, "service", "", "the service's `NAME` (default: the host's only one)")
	f.StringVar(&o.Policy, "policy", policy, "the distribution `POLICY`")
	f.Func("l", "the `ADDRESS` that must be the host's care-of address", func(s string) (err error) {
		o.Local, err = netip.ParseAddr(s)
		return err
	})
	f.StringVar(&o.Interface, "i", "", "the `INTERFACE` that must be the daemon's")
}

// Listen checks what is expected of the daemon and listens. It gives the host's
// description along.
func (o Options) Listen(ctx context.Context, opts ...vanycast.Option) (*vanycast.Listener, vanycast.Host, error) {
	fail := func(err error) (*vanycast.Listener, vanycast.Host, error) { return nil, vanycast.Host{}, err }
	if o.File != "" && o.Socket == "" {
		socket, err := socketOf(o.File)
		if err != nil {
			return fail(err)
		}
		o.Socket = socket
	}
	if o.Socket != "" {
		opts = append(opts, vanycast.WithSocket(o.Socket))
	}
	host, err := vanycast.Describe(ctx, opts...)
	if err != nil {
		return fail(err)
	}
	service, err := o.choose(host)
	if err != nil {
		return fail(err)
	}
	if o.Policy != "" {
		opts = append(opts, vanycast.WithPolicy(o.Policy))
	}
	ln, err := vanycast.Listen(ctx, service, opts...)
	return ln, host, err
}

// choose compares the host with what is expected and finds the service.
func (o Options) choose(host vanycast.Host) (service string, err error) {
	switch {
	case o.Local.IsValid() && o.Local != host.CareOf:
		return "", fmt.Errorf("-l: the care-of address of host %s is %s, not %s", host.Name, show(host.CareOf), o.Local)
	case o.Interface != "" && o.Interface != host.Interface:
		return "", fmt.Errorf("-i: the interface of host %s is %s, not %s", host.Name, host.Interface, o.Interface)
	case o.Service != "" && !slices.Contains(host.Services, o.Service):
		return "", fmt.Errorf("--service: host %s has no service %q; it has: %s", host.Name, o.Service, list(host.Services))
	case o.Service != "":
		return o.Service, nil
	case len(host.Services) == 1:
		return host.Services[0], nil
	default:
		return "", fmt.Errorf("--service is needed: host %s has the services: %s", host.Name, list(host.Services))
	}
}

func show(a netip.Addr) string {
	if !a.IsValid() {
		return "not set"
	}
	return a.String()
}

func list(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// socketOf finds the socket of the daemon whose configuration a file is. A
// socket is its own answer; empty means the usual place.
func socketOf(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("the daemon's configuration: %w", err)
	}
	if info.Mode()&fs.ModeSocket != 0 {
		return path, nil
	}
	// Only one key is of interest; vanycastd has judged the rest.
	var c struct {
		API struct{ Socket string }
	}
	if _, err := toml.DecodeFile(path, &c); err != nil {
		return "", fmt.Errorf("the daemon's configuration: %s: %w", path, err)
	}
	return c.API.Socket, nil
}

package xfrm

import (
	"log/slog"
	"net/netip"

	"github.com/vanycast/vanycast/mipv6/internal/hostnet"
	"github.com/vanycast/vanycast/mipv6/tcbpf"
)

// Config says where a Plane stands and how much it may hold.
type Config struct {
	// Interface is the one by which all traffic with Mobile IPv6 headers leaves and comes.
	Interface string
	// Logger takes what happens outside any call; nil for none.
	Logger *slog.Logger
	// IgnoreHomeAddress has every Home Address option dropped: for hosts that are
	// neither correspondent nor home agent.
	IgnoreHomeAddress bool
	// Protected are contact addresses for which an ESP of this host wants home tests
	// in a tunnel of ESP: the kernel shows what comes out of it to the plane's guard.
	Protected []netip.Addr
	// RulePriority is that of the rules from contact addresses; the one after it
	// is used too. Default 5100. It must be before the main table's, 32766.
	RulePriority int
	// MaxRoutes and MaxBindings bound flows with a route and binding cache
	// entries, default 1,048,576 each; MaxTunnels home agent bindings, default 65,536.
	MaxRoutes, MaxBindings, MaxTunnels int
	// Keep bounds what is kept of flows (dataplane.Route.Keep and Pause), and how many
	// SYNs may wait for a decision (dataplane.Contact.Steer).
	Keep tcbpf.KeepLimits
	// MaxEvents bounds the channel of Events; default 256.
	MaxEvents int
}

// maxContacts bounds the contact addresses, those that have gone included.
const maxContacts = 1024

// withDefaults fills what was left zero.
func (c Config) withDefaults() Config {
	def := func(n *int, v int) {
		if *n <= 0 {
			*n = v
		}
	}
	def(&c.RulePriority, hostnet.DefaultRulePriority)
	def(&c.MaxRoutes, 1<<20)
	def(&c.MaxBindings, 1<<20)
	def(&c.MaxTunnels, 1<<16)
	def(&c.MaxEvents, 256)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

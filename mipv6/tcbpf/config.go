package tcbpf

import (
	"log/slog"

	"github.com/vanycast/vanycast/mipv6/internal/hostnet"
)

// Config says where a Plane stands and how much it may hold.
type Config struct {
	// Interface is the one by which all rewritten traffic leaves and comes.
	Interface string
	// Logger takes what happens outside any call; nil for none.
	Logger *slog.Logger
	// IgnoreHomeAddress leaves the Home Address option to the kernel (which
	// answers it with a parameter problem): for hosts that are neither
	// correspondent nor home agent.
	IgnoreHomeAddress bool
	// RulePriority is that of the rules from contact addresses; the one after it
	// is used too. Default 5100. It must be before the main table's, 32766.
	RulePriority int
	// MaxRoutes and MaxBindings bound flows with a route and binding cache
	// entries, default 1,048,576 each; MaxTunnels home agent bindings, default 65,536.
	MaxRoutes, MaxBindings, MaxTunnels int
	// MaxFlowTunnels bounds flow bindings at the home agent; default 65,536.
	MaxFlowTunnels int
	// Keep bounds what is kept of flows (dataplane.Route.Keep and Pause), and how many
	// SYNs may wait for a decision (dataplane.Contact.Steer).
	Keep KeepLimits
	// MaxEvents bounds the channel of Events; default 256.
	MaxEvents int

	beside bool // the plane is part of another, see Beside
}

// KeepLimits bound what is kept; bytes count whole packets.
type KeepLimits struct {
	FlowPackets, FlowBytes int // of one flow; default 8192 and 8 MiB
	Packets, Bytes         int // of all; default 65,536 and 64 MiB
	Undecided              int // flows; default 512
}

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
	def(&c.MaxFlowTunnels, 1<<16)
	def(&c.MaxEvents, 256)
	def(&c.Keep.FlowPackets, 8192)
	def(&c.Keep.FlowBytes, 8<<20)
	def(&c.Keep.Packets, 1<<16)
	def(&c.Keep.Bytes, 64<<20)
	def(&c.Keep.Undecided, 512)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// maxContacts is the size of the contacts map, removed ones included.
const maxContacts = 1024

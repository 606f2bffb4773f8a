package conf

import (
	"net/netip"
	"slices"
	"time"
)

// Config is one validated configuration file. Sections that the file does not
// have, and that no role of the file needs, are nil.
type Config struct {
	File          string // the path it was read from, as given
	Node          Node
	API           API
	Log           Log
	Peers         *Peers // for the replica role
	Services      []Service
	HomeAgent     *HomeAgent
	Correspondent *Correspondent
	IPsec         []IPsec

	where *located // lines of the keys, for checks that come after loading
}

// Role is one of the things a host may be.
type Role string

// The roles of the design's §1.
const (
	RoleReplica       Role = "replica"
	RoleHomeAgent     Role = "home-agent"
	RoleCorrespondent Role = "correspondent"
)

// Has tells whether the host has the role.
func (c *Config) Has(r Role) bool { return slices.Contains(c.Node.Roles, r) }

// Node is the section [node]: the host itself.
type Node struct {
	Name      string     // how it calls itself to operators and peers; default: the host's name
	Roles     []Role     // at least one, each once
	Interface string     // where the care-of address is and packets are rewritten
	CareOf    netip.Addr // zero: the interface's first global address, see ResolveCareOf
	DataPlane DataPlane
}

// ReturnPath is how what a replica sends to a client without Mobile IPv6 goes,
// where the contact node relays for it.
type ReturnPath string

// The return paths.
const (
	ReturnTunnel ReturnPath = "tunnel" // back the way that the client's packets came
	ReturnDirect ReturnPath = "direct" // straight, with the contact address as source
)

// DataPlane names a backend.
type DataPlane string

// The backends of the design's §3.
const (
	DataPlaneAuto DataPlane = "auto" // xfrm where the kernel has Mobile IPv6, else bpf
	DataPlaneXFRM DataPlane = "xfrm"
	DataPlaneBPF  DataPlane = "bpf"
)

// API is the section [api]: the local socket for applications and operators.
type API struct {
	Socket string // absolute path of the UNIX socket
	Group  string // a group that may use it beside root; empty: root and the daemon's user only
}

// Log is the section [log].
type Log struct {
	Level  string // debug, info, warn, error
	Format string // text, json
}

// Peers is the section [peers]: the replicas' secure channel.
type Peers struct {
	Listen      netip.AddrPort // the care-of address and HandoverPort
	Certificate string         // absolute paths of PEM files
	Key         string
	Authority   string
}

// Service is one [[service]]: a contact address, its port and its group.
type Service struct {
	Name           string
	ContactAddress netip.Addr // the Mobile IPv6 home address
	Port           uint16
	Backlog        int
	HomeAgent      netip.Addr
	ContactNodes   []netip.Addr // by preference; each is one of Replicas
	Replicas       []netip.Addr // care-of addresses, this host's among them
	Policy         string       // local, random

	IPsec IPsecMode // of the registration at the home agent

	NeverSelf           bool       // the policy never chooses this host while another is left
	Steer               bool       // the contact node decides at the SYN where the policy allows
	ReturnPath          ReturnPath // of what is sent to clients without Mobile IPv6
	ContactOnly         bool       // only the contact node distributes; others serve what arrives
	ClearBindingOnClose bool

	Mode string // how clients are handed off: basic, prepared, seamless

	ConnectTimeout  time.Duration // to reach a handoff's target
	HandoffTimeout  time.Duration // a handoff that has not ended by then is given up
	AcceptTimeout   time.Duration // a client not taken by the application is offered elsewhere
	ExcludeTime     time.Duration // how long a failed replica is not chosen
	ContactTimeout  time.Duration // a contact node that is silent for so long is succeeded
	ContactReturn   time.Duration // a better contact node that is back takes over after so long
	HomeLifetime    time.Duration // of the registration at the home agent, a multiple of 4 s
	BindingLifetime time.Duration // of the binding at a client, a multiple of 4 s
}

// Contact is the contact address with its port.
func (s *Service) Contact() netip.AddrPort { return netip.AddrPortFrom(s.ContactAddress, s.Port) }

// HomeAgent is the section [home_agent].
type HomeAgent struct {
	Interface     string         // the home link; default: [node] interface
	Prefix        netip.Prefix   // home addresses are in it
	Address       netip.Addr     // zero: the interface's address in Prefix
	MaxLifetime   time.Duration  // registrations are granted for at most this long
	MaxBindings   int            // registrations at once
	CareOf        []netip.Prefix // care-of addresses may be in these only; empty: anywhere
	HomeAddresses []netip.Addr   // these may be registered only; empty: all of Prefix
	IPsec         IPsecMode

	Preference      uint16        // among the home agents of the link
	PrefixValid     time.Duration // lifetimes of Prefix, in whole seconds
	PrefixPreferred time.Duration
	Advertise       bool          // router advertisements on the home link
	AdvertInterval  time.Duration // at most so long between two
	AgentLifetime   time.Duration // that they promise; zero: three intervals
}

// Correspondent is the section [correspondent]. It may be left out: the role
// has defaults for all of it.
type Correspondent struct {
	MaxBindings int // binding cache entries at once; strangers make them
}

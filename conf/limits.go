package conf

import "time"

// Defaults and bounds; docs/operations.md repeats them.
const (
	DefaultSocket = "/run/vanycast/api.sock"

	defaultBacklog        = 128
	defaultPolicy         = "local"    // the thesis, §4.2.3: without a policy clients are served where they arrive
	defaultMode           = "seamless" // the best that there is
	defaultConnectTimeout = time.Second
	defaultHandoffTimeout = 8 * time.Second
	defaultAcceptTimeout  = 5 * time.Second
	defaultExcludeTime    = 30 * time.Second
	defaultContactTimeout = 3 * time.Second // the heartbeats of the replicas' channel notice no sooner
	defaultContactReturn  = 10 * time.Second
	defaultHomeLifetime   = 600 * time.Second
	defaultMaxLifetime    = time.Hour
	defaultHomeBindings   = 1024
	defaultMaxBindings    = 4096

	minContactTimeout = time.Second

	maxTimeout  = 10 * time.Minute
	maxFile     = 1 << 20 // bytes
	maxList     = 4096    // elements of one list
	maxServices = 256
	maxEntries  = 1 << 20 // binding cache entries
	maxName     = 63      // bytes, as a DNS label: names stand in URLs, file names and logs

	// RFC 6275 §6.1.7: lifetimes travel in units of 4 seconds, in 16 bits.
	lifetimeUnit = 4 * time.Second
	maxLifetime  = 65535 * lifetimeUnit
	// RFC 6275 §12: MAX_RR_BINDING_LIFETIME.
	maxRRBindingLifetime = 420 * time.Second

	// RFC 4861 §6.2.1: of router advertisements and the prefixes in them. Lifetimes
	// of prefixes have 32 bits, of which all ones mean for ever; home agents' have 16
	// (RFC 6275 §7.4).
	defaultPrefixValid     = 30 * 24 * time.Hour
	defaultPrefixPreferred = 7 * 24 * time.Hour
	maxPrefixLifetime      = (1<<32 - 1) * time.Second
	defaultAdvertInterval  = 10 * time.Minute
	minAdvertInterval      = 4 * time.Second
	maxAdvertInterval      = 30 * time.Minute
	maxAgentLifetime       = 65535 * time.Second

	// Linux: IFNAMSIZ less the final zero; UNIX_PATH_MAX less the final zero.
	maxInterface  = 15
	maxSocketPath = 107
)

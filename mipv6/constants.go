package mipv6

import "time"

// Protocol constants of RFC 6275 §12. Constants of our own are not here.
const (
	DHAADRetries          = 4
	InitialBindackTimeout = 1 * time.Second
	InitialDHAADTimeout   = 3 * time.Second
	InitialSolicitTimer   = 3 * time.Second
	MaxBindackTimeout     = 32 * time.Second
	MaxDeleteBCETimeout   = 10 * time.Second
	MaxNonceLifetime      = 240 * time.Second
	MaxTokenLifetime      = 210 * time.Second
	MaxROFailure          = 3
	MaxRRBindingLifetime  = 420 * time.Second
	MaxUpdateRate         = 3 // Binding Updates to one correspondent in a second
	PrefixAdvRetries      = 3
	PrefixAdvTimeout      = 3 * time.Second
)

// Protocol configuration variables of RFC 6275 §13, with their defaults.
const (
	MaxMobPfxAdvInterval          = 86400 * time.Second
	MinDelayBetweenRAs            = 3 * time.Second
	MinMobPfxAdvInterval          = 600 * time.Second
	InitialBindackTimeoutFirstReg = 1500 * time.Millisecond
)

// InitialBindackTimeoutDAD is the first timeout of an update that makes the
// home agent do duplicate address detection (§11.8): the configuration
// variable InitialBindackTimeoutFirstReg.
const InitialBindackTimeoutDAD = InitialBindackTimeoutFirstReg

package homeagent

// Names of the counters (Role.Counters), in messages unless said.
const (
	CounterAccepted  = "registrations_accepted" // and deregistrations
	CounterRefused   = "registrations_refused"
	CounterPending   = "dropped_pending"    // Binding Updates that came during duplicate address detection
	CounterDuplicate = "duplicates"         // home addresses that somebody on the home link has
	CounterExpired   = "bindings_expired"   // registrations whose lifetime ended
	CounterMalformed = "dropped_malformed"  // what mipv6.Parse did not accept
	CounterInvalid   = "dropped_invalid"    // impossible addresses
	CounterLimited   = "dropped_limited"    // not answered because too much was asked
	CounterFailed    = "failed"             // registrations that the host could not carry out
	CounterDefended  = "addresses_defended" // registered addresses that a neighbour claimed

	CounterFlows        = "flows_accepted" // flow bindings, each time
	CounterFlowsRefused = "flows_refused"

	CounterDiscoveries  = "agents_asked"        // Home Agent Address Discovery Requests
	CounterPrefixes     = "prefixes_asked"      // Mobile Prefix Solicitations of registered mobile nodes
	CounterAdverts      = "router_adverts_sent" // Router Advertisements
	CounterAgentsLost   = "agents_lost"         // home agents of the link that found no room in the list
	CounterTunnelErrors = "tunnel_errors"       // ICMPv6 errors about tunnels that the source was told of
)

package correspondent

// Names of the counters (Role.Counters), in messages unless said.
const (
	CounterTests        = "tests_answered"       // Home Tests and Care-of Tests sent
	CounterAccepted     = "updates_accepted"     // Binding Updates
	CounterRefused      = "updates_refused"      // Binding Updates answered with a status of 128 or more
	CounterErrors       = "errors_sent"          // Binding Errors, parameter problems and refusals to strangers
	CounterExpired      = "bindings_expired"     // bindings whose lifetime ended
	CounterUnreachable  = "bindings_unreachable" // bindings deleted because their care-of address was
	CounterMalformed    = "dropped_malformed"    // what mipv6.Parse did not accept
	CounterInvalid      = "dropped_invalid"      // impossible addresses, a Home Address option where none may be
	CounterUnauthorised = "dropped_unauthorised" // Binding Updates that return routability does not authorise
	CounterLimited      = "dropped_limited"      // not answered because too much was asked
	CounterFailed       = "failed"               // what the data plane or the random source failed at
)

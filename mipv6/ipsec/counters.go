package ipsec

// Names of the counters (Endpoint.Counters), in packets.
const (
	CounterSealed         = "sealed"                 // protected and given to the host
	CounterOpened         = "opened"                 // opened and passed on
	CounterUnknown        = "dropped_unknown_spi"    // for no association of ours
	CounterMalformed      = "dropped_malformed"      // of a form that no sender makes
	CounterAuthentication = "dropped_authentication" // forged, damaged, or another key
	CounterReplay         = "dropped_replay"         // was there before
	CounterSelector       = "dropped_selector"       // holds what its association is not for
	CounterClearIn        = "dropped_unprotected"    // came in clear and had to be protected
	CounterClearOut       = "unsent"                 // could not be protected, and was not sent
)

func newCounters() map[string]uint64 {
	m := map[string]uint64{}
	for _, name := range []string{
		CounterSealed, CounterOpened, CounterUnknown, CounterMalformed, CounterAuthentication, CounterReplay,
		CounterSelector, CounterClearIn, CounterClearOut,
	} {
		m[name] = 0
	}
	return m
}

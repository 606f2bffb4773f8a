package ipsec

// Names of the counters (Endpoint.Counters), in packets.
const (
	CounterSealed         = "esp_out"                 // protected and given to the host
	CounterOpened         = "esp_in"                  // opened and passed on
	CounterUnknown        = "esp_drop_unknown_spi"    // for no association of ours
	CounterMalformed      = "esp_drop_malformed"      // of a form that no sender makes
	CounterAuthentication = "esp_drop_authentication" // forged, damaged, or another key
	CounterReplay         = "esp_drop_replay"         // was there before
	CounterSelector       = "esp_drop_selector"       // holds what its association is not for
	CounterClearIn        = "ipsec_drop_clear_in"     // came in clear and had to be protected
	CounterClearOut       = "ipsec_drop_clear_out"    // could not be protected, and was not sent
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

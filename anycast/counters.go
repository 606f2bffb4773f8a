package anycast

import "maps"

// Names of the counters (Node.Counters), in messages.
const (
	CounterAccepted    = "updates_accepted"    // Binding Updates of ours, to home agents and clients
	CounterRefused     = "updates_refused"     // those answered with a status of 128 or more
	CounterErrors      = "errors_sent"         // Binding Errors and parameter problems
	CounterMalformed   = "dropped_malformed"   // what mipv6.Parse did not accept
	CounterInvalid     = "dropped_invalid"     // a Home Address option where none may be
	CounterUnexpected  = "dropped_unexpected"  // answers to nothing that was asked: late, replayed or made up
	CounterUnauthentic = "dropped_unauthentic" // Binding Acknowledgements whose authenticator is wrong
	CounterFellBack    = "fell_back"           // clients whose path drops extension headers, taken off the short cut
	CounterLimited     = "dropped_limited"     // not answered because too much was asked
)

// Counters are totals since New, by the names above; one that is not there is 0.
func (n *Node) Counters() map[string]uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return maps.Clone(n.core.counters)
}

func (c *core) count(name string) { c.counters[name]++ }

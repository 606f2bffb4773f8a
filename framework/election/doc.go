// Package election decides which replica is contact node of a contact address:
// the best-ranked one of its contact nodes that lives. So the role moves by
// itself when its holder dies, and comes back when that has been there again for
// a while.
//
// Nobody votes. The arbiter is the home agent, which takes a registration only if
// its sequence number is greater than the last (RFC 6275 §9.5.1): the number of
// the last registration is the epoch, and who wants to succeed a contact node
// registers with the next one. Of two who try the same, one is told (status 135)
// that somebody was quicker, and leaves it at that for a while. So are those who
// are wrong about the other's death: a contact node that loses sight of another
// candidate registers again and again (Timing.Confirm), more often than the other
// tries (Timing.Retry); as long as it lives and reaches the home agent it stays,
// and if it was overtaken it learns it so. One that sees no other replica at all
// does not fight: the others cannot reach it.
//
// Replicas tell each other over their channel (peer.KindContact) what they know:
// a View, as a ping and as its answer. Candidates ping each other, the others
// ping the contact node. A candidate that has lost sight of the contact node asks
// all replicas first: if one of them sees it, it lives.
//
// A better-ranked candidate that comes back takes the role when its holder says
// that it may (View.Yield): after it was there without a break for
// Timing.Return, and for twice, four times, eight times as long if it went away
// again and again. One that is asked to end hands the role over first
// (Elector.Leave).
//
// core is pure: each of its methods is an event with its time, and actions come
// out; the scenarios in testdata show them. Elector is the loop around it.
package election

// Package pathmtu translates Packet Too Big messages for the data planes. A
// router quotes a packet as it was on the wire, with the addresses and headers
// that the data plane gave it, which no transport of this host knows. The
// translated message quotes the packet as its sender made it.
package pathmtu

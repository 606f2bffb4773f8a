// Package replicas holds the tests of package anycast with the home agent and
// the correspondent role, on real data planes and sockets of the laboratory's
// hosts. No daemon and no TCP yet: what moves is the traffic of a client.
package replicas

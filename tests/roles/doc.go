// Package roles holds the tests of the home agent and the correspondent role
// together, on real data planes and sockets of the laboratory's hosts, with a
// mobile node whose every message is written by hand.
package roles

// Package conformance checks the daemon against RFC 6275, case by case, on the
// wire: vanycastd runs with one role on a host of a laboratory, and a tester
// (tester/, Python and Scapy, with no code of ours) plays all its peers on the
// other end of a link, frame by frame.
//
// The cases are those of the IPv6 Ready Phase-2 self-test specifications for
// home agent, correspondent node and mobile node. docs/conformance.md is the
// table of them with their results; TestConformance fails if a case does, or if
// the table is not what the cases make. `make conformance` rewrites it.
package conformance

// Package benchmark measures what moving an endpoint costs with package tcpcp,
// against a C program (testdata/bare.c) that makes the same system calls and does
// nothing else. One move is both ends: freeze, extract, forget; insert, activate.
// It happens in one place, a network namespace of its own, so that one thread does
// all of it. The encoding is not part of it.
//
// It needs root and gcc. `go test -bench . ./tcpcp/benchmark` and Run give the
// same numbers.
package benchmark

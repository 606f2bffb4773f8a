// Package mhtest has a fake of mhsock: an in-memory network of hosts that
// exchange Mobility Headers, with control over what is lost, for deterministic
// tests of the roles (in a testing/synctest bubble too: it starts no goroutine
// and reads no clock).
package mhtest

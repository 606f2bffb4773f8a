// Package tests holds the end-to-end tests: the daemons, the example servers
// and Debian's own programs as separate processes, on the hosts of a
// laboratory (package lab), installed as a user would (package cluster).
//
// Nothing in the tests reaches into a program of ours: what is asserted is
// what a client sees, what tshark reads on the links, and what the kernel
// shows afterwards.
package tests

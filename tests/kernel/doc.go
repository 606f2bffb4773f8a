// Package kernel holds the end-to-end tests that need a kernel with Mobile IPv6
// (CONFIG_IPV6_MIP6): the echo session with the kernel's own Mobile IPv6 on either
// side or on both, and on networks with delay and loss. On other kernels they
// are skipped; tests/uml runs them on one that has it.
package kernel
